import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** One line of the table `npm run crash` ends with. */
export interface Figures {
  what: string
  tried: number
  /** What was found wrong, or for a mutant: what caught it. */
  found: string
}

/** Leaves the lines of one part where `npm run crash` finds them; without it they are of no interest. */
export function writeFigures(part: string, lines: readonly Figures[]): void {
  const directory = process.env.CRASH_FIGURES
  if (directory === undefined) return
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${part}.json`), JSON.stringify(lines))
}
