// Our SDK with our broker against other clients with their servers, in turn on one machine: `npm run bench:peers -- clients [options]`, or
// node test/bench/peers/sdk/run.mjs [--rounds 3] [--seconds 3] [--count 200000] [--only nats|rabbit|kafka] [--window 256]. 1 KiB bodies, confirmed
// sends with as many in flight for each client. Kafka's Java producer bounds the bytes it holds (`buffer.memory`), so both have the same: as
// many as the others, and once more the 32 MiB it takes by default. Consumers have an empty handler and acknowledge as their library
// means it. Rates belong to the machine and the moment: the ratio inside one round counts.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kafkaJars, missing, nodeClients } from './install.mjs'
import { servers } from './servers.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    count: { type: 'string', default: '200000' },
    window: { type: 'string', default: '256' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const program = fileURLToPath(new URL('client.mjs', import.meta.url))
/** Messages of 1 KiB in the 32 MiB that Kafka's producer holds by default. */
const WIDE_WINDOW = 32_768
/** amqplib's quorum queue is slow enough for a fifth to do. */
const rabbitCount = Math.ceil(Number(values.count) / 5)
const debian = 'apt-get install'
const peers = {
  nats: { name: 'nats.js JetStream', absent: () => missing('nats-server', `${debian} nats-server`) },
  rabbit: { name: 'amqplib quorum', absent: () => missing('rabbitmq-server', `${debian} rabbitmq-server`) },
  kafka: {
    name: "Kafka's Java producer",
    absent: () => missing('java', 'a JDK') ?? missing('mvn', 'Maven fetches Kafka'),
  },
}
const floors = {
  'produce nats': [3, 5],
  'consume nats': [2, 4],
  'consume rabbit': [15, 30],
  'produce kafka': [2, 5],
  'wide kafka': [2, 5],
}

function output(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (bytes) => (out += bytes))
    child.stderr.on('data', (bytes) => (err += bytes))
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${args.join(' ')} ended with ${code}: ${out}${err}`.slice(-3_000))),
    )
  })
}

async function withServer(kind, jars, work) {
  const folder = mkdtempSync(join(tmpdir(), `tandemmq-clients-${kind}-`))
  try {
    const server = await servers[kind](folder, jars)
    try {
      return await work(server.address)
    } finally {
      await server.stop()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function drive(kind, mode, address, packages, more = {}) {
  const options = { window: values.window, seconds: values.seconds, ...more }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const figures = JSON.parse(await output(process.execPath, [program, kind, mode, address, packages, ...args]))
  return { perSecond: figures.n / figures.seconds, cpu: figures.cpuMicros / figures.n, rssMib: figures.rssMib }
}

/** Its rate once the JVM is warm. */
async function driveKafka(address, jars, window) {
  const records = 700_000
  const props = [`bootstrap.servers=${address}`, 'acks=1', `buffer.memory=${window * 1_024}`]
  const args = ['-Xms512m', '-Xmx512m', '-cp', jars, 'org.apache.kafka.tools.ProducerPerformance', '--topic', 'bench']
  const sizes = ['--num-records', records, '--record-size', 1_024, '--throughput', -1]
  const out = await output('java', [...args, ...sizes.map(String), '--producer-props', ...props])
  const rates = [...out.matchAll(/^\d+ records sent, ([\d.]+) records\/sec/gm)].map(([, rate]) => Number(rate))
  // One line for each five seconds, the first of a cold JVM, and at last one for all.
  const warm = rates.slice(1, -1)
  return { perSecond: warm.length > 0 ? median(warm) : rates.at(-1) }
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

/** One server at a time runs, so that none costs the other anything. */
async function roundOf(kind, packages, jars) {
  const figures = {}
  if (kind === 'kafka') {
    figures.produce = await withServer(kind, jars, (address) => driveKafka(address, jars, Number(values.window)))
    figures.wide = await withServer(kind, jars, (address) => driveKafka(address, jars, WIDE_WINDOW))
  } else {
    const count = kind === 'rabbit' ? rabbitCount : Number(values.count)
    figures.produce = await withServer(kind, jars, (address) => drive(kind, 'produce', address, packages))
    if (kind === 'tandem' && present.includes('kafka')) {
      const more = { window: WIDE_WINDOW }
      figures.wide = await withServer(kind, jars, (address) => drive(kind, 'produce', address, packages, more))
    }
    figures.consume = await withServer(kind, jars, async (address) => {
      await drive(kind, 'fill', address, packages, { count })
      return drive(kind, 'consume', address, packages, { count })
    })
  }
  return figures
}

const chosen = Object.keys(peers).filter((kind) => values.only === undefined || values.only.split(',').includes(kind))
const packages = nodeClients()
const present = chosen.filter((kind) => {
  const why = peers[kind].absent()
  if (why !== undefined) console.log(`skipped ${peers[kind].name}: ${why}`)
  return why === undefined
})
let jars
if (present.includes('kafka')) {
  try {
    jars = kafkaJars()
  } catch (error) {
    console.log(`skipped ${peers.kafka.name}: ${error.message.split('\n')[0]}`)
    present.splice(present.indexOf('kafka'), 1)
  }
}
const rounds = []
for (let round = 0; round < Number(values.rounds); round++) {
  const figures = {}
  const order = ['tandem', ...present]
  for (const kind of round % 2 === 0 ? order : order.toReversed()) {
    figures[kind] = await roundOf(kind, packages, jars)
    if (values.json) console.log(JSON.stringify({ round, kind, ...figures[kind] }))
  }
  rounds.push(figures)
}
const rows = {}
const of = (kind, part, what) => median(rounds.map((figures) => figures[kind][part][what] ?? Number.NaN))
for (const kind of present) {
  for (const part of ['produce', 'wide', 'consume']) {
    if (rounds[0][kind][part] === undefined) continue
    const ratio = median(rounds.map((figures) => figures.tandem[part].perSecond / figures[kind][part].perSecond))
    const [floor, aim] = floors[`${part} ${kind}`] ?? []
    const what = part === 'wide' ? 'produce, 32 MiB in flight' : part
    rows[`${what}, ${peers[kind].name}`] = {
      'ours/s': Math.round(of('tandem', part, 'perSecond')),
      'our client us CPU': Number(of('tandem', part, 'cpu').toFixed(2)),
      'peer/s': Math.round(of(kind, part, 'perSecond')),
      'peer client us CPU': Number(of(kind, part, 'cpu').toFixed(2)),
      ratio: Number(ratio.toFixed(1)),
      floor,
      aim,
    }
    if (floor !== undefined && ratio < floor) console.log(`below its floor: ${part} against ${peers[kind].name}`)
  }
}
if (present.length > 0) console.table(rows)
process.exit(0)
