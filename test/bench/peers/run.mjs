// Our broker and an Apache RocketMQ on one machine, driven in turn with the same frames: `npm run bench:peers -- brokers [--rounds 3]
// [--seconds 4] [--flush async|sync] [--only PART]`. Rates are for this machine and moment; what counts is the ratio within one
// round, of which the median is printed. CPU is of the whole broker process for each message.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { missingTools } from '../../interop/toolchain.mjs'
import { startApache, startTandem } from './servers.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    flush: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const missing = missingTools(['java', 'javac', 'mvn'])
if (missing.length > 0) {
  for (const line of missing) console.error(line)
  process.exit(1)
}

const generator = fileURLToPath(new URL('frame-load.mjs', import.meta.url))
const seconds = Number(values.seconds)

/** What is compared: arguments of the generator, and the ratio below which something is wrong. */
const measures = [
  { name: 'produce 16 x 32', args: ['produce', 'load', '--connections', '16', '--window', '32'], floor: 8, aim: 15 },
  {
    name: 'produce 16 x 1',
    args: ['produce', 'load', '--connections', '16', '--window', '1'],
    floor: 4,
    aim: 6,
    flush: 'sync',
  },
  {
    name: 'produce 1 x 1',
    args: ['produce', 'load', '--connections', '1', '--window', '1'],
    floor: 6,
    aim: 10,
    flush: 'sync',
  },
  { name: 'half + commit 4 x 64', args: ['half', 'halves', '--connections', '4', '--window', '64'], floor: 8, aim: 12 },
  { name: 'pull 32 by 2 readers', args: ['pull', 'load', '--readers', '2'], floor: 5, aim: 10, flush: 'async' },
]

function drive(server, args, { messages = 3_000_000, limit = seconds } = {}) {
  const [mode, topic, ...rest] = args
  const before = server.cpuMicros()
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [
        generator,
        mode,
        '127.0.0.1',
        String(server.port),
        topic,
        ...rest,
        '--messages',
        String(messages),
        '--seconds',
        String(limit),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let out = ''
    child.stdout.on('data', (bytes) => (out += bytes))
    child.once('error', reject)
    child.once('close', () => {
      try {
        const figures = JSON.parse(out)
        const after = server.cpuMicros()
        const cpu = before === undefined || after === undefined ? undefined : (after - before) / Math.max(1, figures.n)
        resolve({ ...figures, cpu })
      } catch {
        reject(new Error(`${server.name}: ${mode} gave no figures: ${out}`))
      }
    })
  })
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
const rows = []

async function compare(flush) {
  const folder = mkdtempSync(join(tmpdir(), 'tandemmq-peers-'))
  const servers = []
  try {
    servers.push(await startTandem(folder, flush))
    servers.push(await startApache(folder, flush))
    for (const server of servers) await drive(server, measures[0].args, { limit: Math.max(2, seconds) })
    for (const measure of measures) {
      if (values.only !== undefined && !measure.name.includes(values.only)) continue
      if (measure.flush !== undefined && measure.flush !== flush) continue
      const rounds = []
      for (let round = 0; round < Number(values.rounds); round++) {
        const figures = []
        // The one that begins changes from round to round.
        for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
          figures.push({ server, ...(await drive(server, measure.args)) })
        }
        const [tandem, apache] = round % 2 === 0 ? figures : figures.toReversed()
        rounds.push({ tandem, apache, ratio: tandem.per_s / apache.per_s })
      }
      const of = (which, what) => median(rounds.map((round) => round[which][what] ?? Number.NaN))
      rows.push({
        measure: `${measure.name}, ${flush} flush`,
        'TandemMQ/s': of('tandem', 'per_s'),
        'CPU us': Number(of('tandem', 'cpu').toFixed(2)),
        'p99 ms': Number((of('tandem', 'p99_us') / 1_000).toFixed(2)),
        'Apache/s': of('apache', 'per_s'),
        'Apache CPU us': Number(of('apache', 'cpu').toFixed(1)),
        'Apache p99 ms': Number((of('apache', 'p99_us') / 1_000).toFixed(2)),
        ratio: Number(median(rounds.map(({ ratio }) => ratio)).toFixed(1)),
        floor: measure.floor,
        aim: measure.aim,
      })
      if (values.json) console.log(JSON.stringify(rows.at(-1)))
    }
    const [tandem, apache] = servers
    console.log(
      `resident after this: TandemMQ ${tandem.residentMib()} MiB, Apache RocketMQ ${apache.residentMib()} MiB`,
    )
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

for (const flush of values.flush === undefined ? ['async', 'sync'] : [values.flush]) await compare(flush)
if (!values.json) console.table(Object.fromEntries(rows.map(({ measure, ...figures }) => [measure, figures])))
const below = rows.filter(({ ratio, floor }) => ratio < floor)
for (const { measure, ratio, floor } of below) console.log(`below its floor: ${measure}, ${ratio} < ${floor}`)
process.exit(0)
