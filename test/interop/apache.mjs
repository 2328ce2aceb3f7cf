// Our SDK, the outbox and the Nest demo on an Apache RocketMQ, installed and started here. Prints one table; exits 1 when a cell is
// red. Needs a JDK and Maven: node test/interop/apache.mjs [--scenarios sends,retry]
import { spawn } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { clients } from './apache/clients.mjs'
import { outboxes } from './apache/outbox.mjs'
import { pairs } from './apache/pairs.mjs'
import { World } from './apache/world.mjs'
import { apacheRun, untilRegistered } from './servers/apache-run.mjs'
import { freePort, until } from './servers/process.mjs'
import { printTable } from './table.mjs'

/** Of its final table, as on a broker it has started itself. */
const DEMO_ROWS = 22
/** Each mostly waits. */
const PARALLEL = 5
/** What an operator of Apache RocketMQ would set for us too, see docs/apache-rocketmq.md; the times are short for the test. */
const settings = {
  ...{ enablePropertyFilter: true, recallMessageEnable: true, traceTopicEnable: true },
  ...{ transactionTimeOut: 4_000, transactionCheckInterval: 2_000 },
}
const root = fileURLToPath(new URL('../../', import.meta.url))
const { values } = parseArgs({ options: { scenarios: { type: 'string' } } })
const { scratch, apache, keep, stopAll } = apacheRun('apache')
const namePort = await freePort()
const brokerPort = await freePort()
const nameServers = `127.0.0.1:${namePort}`
let broker
const startBroker = async () => {
  broker = keep(apache.broker('apache', brokerPort, [nameServers], settings))
  await untilRegistered(nameServers)
}

/** The same program, the same table: examples/order-flow. */
function demo() {
  return new Promise((resolve, reject) => {
    const args = ['run', '--silent', 'demo', '--', '--plain', '--nameserver', nameServers]
    const child = spawn('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    child.stdout.on('data', (bytes) => (out += bytes))
    child.stderr.on('data', (bytes) => (out += bytes))
    child.once('error', reject)
    child.once('close', (code) => {
      writeFileSync(join(scratch, 'demo.log'), out)
      const rows = out.split('\n').filter((line) => /^.{32}( +\d+){5}   \w/.test(line))
      if (code !== 0) reject(new Error(`the demo ended with ${code}: ${out.slice(-3_000)}`))
      else if (rows.length !== DEMO_ROWS)
        reject(new Error(`the demo's table has ${rows.length} rows, not ${DEMO_ROWS}`))
      else resolve()
    })
  })
}

/** The broker goes and comes back while a producer and a consumer stay. */
async function restart(world) {
  const producer = await world.producer({ sendTimeoutMs: 60_000, retriesMax: 50 })
  const { received } = await world.consumer()
  const send = async (count, name) => {
    for (let n = 0; n < count; n++) await producer.send({ topic: world.topic, body: `${name}${n}` })
  }
  await send(20, 'before ')
  await broker.stop()
  const sending = send(20, 'after ')
  await startBroker()
  await sending
  const wanted = ['before ', 'after '].flatMap((name) => Array.from({ length: 20 }, (_, n) => `${name}${n}`))
  const got = () => new Set(received.map((message) => message.text()))
  await until('all of them', () => wanted.every((body) => got().has(body)), 90_000)
}

const scenarios = { ...clients, ...pairs, ...outboxes }
const last = { demo, restart }
const chosen = values.scenarios?.split(',') ?? [...Object.keys(scenarios), ...Object.keys(last)]
const results = new Map()
const prefix = `s${Date.now().toString(36)}`

async function run(name, scenario) {
  const world = new World(nameServers, prefix, name)
  const started = Date.now()
  try {
    await scenario(world)
    results.set(name, 'ok')
  } catch (error) {
    results.set(name, `failed ${error.code ?? ''} ${error.stack ?? error}`)
  } finally {
    await world.close().catch((error) => console.error(`closing ${name}: ${error.message}`))
    console.error(
      `${name}: ${results.get(name).slice(0, 200).split('\n')[0]} (${((Date.now() - started) / 1_000).toFixed(1)} s)`,
    )
  }
}

try {
  keep(apache.nameServer(namePort))
  await startBroker()
  const queue = chosen.filter((name) => scenarios[name] !== undefined)
  const lane = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await run(name, scenarios[name])
  }
  await Promise.all(Array.from({ length: PARALLEL }, lane))
  for (const name of chosen) if (last[name] !== undefined) await run(name, last[name])
} finally {
  await stopAll()
}
const order = [...Object.keys(scenarios), ...Object.keys(last)]
const sorted = new Map([...results].toSorted(([a], [b]) => order.indexOf(a) - order.indexOf(b)))
const red = printTable(new Map([['our SDK on Apache 5.3.3', sorted]]))
if (red > 0) {
  console.log(`Logs: ${scratch}`)
  process.exit(1)
}
if (process.env.KEEP_LOGS === undefined) rmSync(scratch, { recursive: true, force: true })
process.exit(0)
