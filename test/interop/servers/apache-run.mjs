// A run with Apache's servers, which end with it.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin } from '@tandemmq/client'
import { missingTools } from '../toolchain.mjs'
import { Apache, until } from './process.mjs'

/** Ends this program where Apache's cannot run. `stopAll` ends whatever was kept, and so does an interrupt. */
export function apacheRun(name) {
  const problems = missingTools(new Set(['java', 'javac', 'mvn']))
  if (problems.length > 0) {
    for (const problem of problems) console.error(`interop: ${problem}`)
    process.exit(1)
  }
  const scratch = mkdtempSync(join(tmpdir(), `tandemmq-${name}-`))
  const running = []
  const keep = (program) => {
    running.push(program)
    return program
  }
  const stopAll = () => Promise.all(running.map((program) => program.stop('SIGKILL')))
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => stopAll().finally(() => process.exit(code)))
  }
  return { scratch, apache: new Apache(scratch), keep, stopAll }
}

/** Waits until a broker is known behind these name servers. */
export function untilRegistered(nameServers) {
  return until('the broker is registered', async () => {
    const admin = new Admin({ nameServers })
    try {
      await admin.start()
      return (await admin.topics()).includes('TBW102')
    } catch {
      return false
    } finally {
      await admin.close()
    }
  })
}
