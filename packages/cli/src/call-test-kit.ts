import { expect } from 'vitest'
import { main } from './main.ts'

/** One call of the tool by a script, to its end. */
export async function called(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line) }
  const code = await main(argv, { ...io, stop: new AbortController().signal })
  return { code, out: out.join('\n'), err: err.join('\n') }
}

/** What a call with `--json` printed. */
export async function calledJson<T>(...argv: string[]): Promise<T> {
  const { code, out, err } = await called(...argv, '--json')
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out) as T
}
