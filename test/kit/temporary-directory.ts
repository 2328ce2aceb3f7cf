import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder that goes with its scope. */
export function temporaryDirectory(name: string): Disposable & { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `tandem-${name}-`))
  const remove = (): void => rmSync(path, { recursive: true, force: true })
  return { path, remove, [Symbol.dispose]: remove }
}
