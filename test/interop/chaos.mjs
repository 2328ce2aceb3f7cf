// Apps with the outbox killed, and Postgres killed, on an Apache RocketMQ that is installed and started here: what was committed
// arrives once, nothing else does. Prints one table; exits 1 when a cell is red. Needs a JDK and Maven:
// node test/interop/chaos.mjs [--minutes 0.5]; at length on a cluster that runs already, with its own settings:
// npm run crash:outbox -- chaos --minutes 10 --nameserver HOST:PORT
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Admin } from '@tandemmq/client'
import { Apache, freePort, until } from './servers/process.mjs'
import { printTable } from './table.mjs'
import { missingTools } from './toolchain.mjs'

const problems = missingTools(new Set(['java', 'javac', 'mvn']))
if (problems.length > 0) {
  for (const problem of problems) console.error(`interop: ${problem}`)
  process.exit(1)
}
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '0.5' } } })
/** Shorter than its own 6 s and 30 s, so that what killed apps leave is asked about soon. */
const settings = { transactionTimeOut: 4_000, transactionCheckInterval: 5_000 }
const harness = fileURLToPath(new URL('../crash/run.mjs', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'tandemmq-apache-chaos-'))
const apache = new Apache(scratch)
const namePort = await freePort()
const brokerPort = await freePort()
const nameServers = `127.0.0.1:${namePort}`
const running = []
let child
const stopAll = () => {
  child?.kill('SIGTERM')
  return Promise.all(running.map((program) => program.stop('SIGKILL')))
}
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => stopAll().finally(() => process.exit(code)))
}

async function isRegistered() {
  const admin = new Admin({ nameServers })
  try {
    await admin.start()
    return (await admin.topics()).includes('TBW102')
  } catch {
    return false
  } finally {
    await admin.close()
  }
}

/** @returns exit code and what was printed */
function chaos() {
  const args = [harness, 'outbox', 'chaos', '--minutes', values.minutes, '--nameserver', nameServers]
  child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (out += bytes))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, out }))
  })
}

let outcome = 'ok'
try {
  running.push(apache.nameServer(namePort))
  running.push(apache.broker('apache', brokerPort, [nameServers], settings))
  await until('the broker is registered', isRegistered)
  const { code, out } = await chaos()
  if (code !== 0) outcome = out.slice(-5_000)
  const figures = out.split('\n').find((line) => line.startsWith('{"committed"'))
  if (figures !== undefined) console.log(figures)
} catch (error) {
  outcome = String(error.stack ?? error)
} finally {
  await stopAll()
}
const red = printTable(new Map([['our outbox on Apache 5.3.3', new Map([['outboxChaos', outcome]])]]))
if (red > 0) {
  console.log(`Logs: ${scratch}`)
  process.exit(1)
}
rmSync(scratch, { recursive: true, force: true })
process.exit(0)
