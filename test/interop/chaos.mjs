// Apps with the outbox killed, and Postgres killed, on an Apache RocketMQ that is installed and started here: what was committed
// arrives once, nothing else does. Prints one table; exits 1 when a cell is red. Needs a JDK and Maven:
// node test/interop/chaos.mjs [--minutes 0.5] [--stock]; on a cluster that runs already, with its own settings:
// npm run crash:outbox -- chaos --minutes 10 --nameserver HOST:PORT
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { apacheRun, untilRegistered } from './servers/apache-run.mjs'
import { freePort } from './servers/process.mjs'
import { printTable } from './table.mjs'

const options = { minutes: { type: 'string', default: '0.5' }, stock: { type: 'boolean', default: false } }
const { values } = parseArgs({ options })
/** Without `--stock` shorter than its own 6 s and 30 s, so that what killed apps leave is asked about soon. */
const settings = values.stock ? {} : { transactionTimeOut: 4_000, transactionCheckInterval: 5_000 }
const harness = fileURLToPath(new URL('../crash/run.mjs', import.meta.url))
const { scratch, apache, keep, stopAll } = apacheRun('apache-chaos')
const namePort = await freePort()
const brokerPort = await freePort()
const nameServers = `127.0.0.1:${namePort}`

/** @returns exit code and what was printed */
function chaos() {
  const args = [harness, 'outbox', 'chaos', '--minutes', values.minutes, '--nameserver', nameServers]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  keep({ stop: () => child.kill('SIGTERM') })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (out += bytes))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, out }))
  })
}

let outcome = 'ok'
try {
  keep(apache.nameServer(namePort))
  keep(apache.broker('apache', brokerPort, [nameServers], settings))
  await untilRegistered(nameServers)
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
