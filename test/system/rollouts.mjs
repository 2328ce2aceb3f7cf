// Rolls a Nest application out again and again under load: SIGTERM to the older of two processes, a new one at the same moment.
// Says what was delivered again after its handler had finished, what was lost, the longest stop and the longest way of a message.
// Usage: node test/system/rollouts.mjs [--rollouts 20] [--perSecond 400] [--workMs 60] [--settleMs 120000]; prints a table, last line JSON.
// `--settleMs`: what is not handled so long after the load is lost.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Admin, Producer } from '@tandemmq/client'

const { values } = parseArgs({
  options: {
    rollouts: { type: 'string', default: '20' },
    perSecond: { type: 'string', default: '400' },
    workMs: { type: 'string', default: '60' },
    settleMs: { type: 'string', default: '120000' },
  },
})
const {
  rollouts,
  perSecond,
  workMs: workMsMax,
  settleMs,
} = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]))
const groups = ['billing', 'ledger', 'stock']
const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tandemmq-rollouts-'))
const log = join(folder, 'finished.log')
const children = new Set()

function start(file, args) {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  let out = ''
  const ready = new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      out += data
      if (/ready/.test(out)) resolve(out)
    })
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}: ${out}`)))
  })
  return { child, ready }
}

async function stop(child) {
  const asked = performance.now()
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
  return performance.now() - asked
}

/** `group -> body -> times of its ends`. */
function finished() {
  const ends = new Map(groups.map((group) => [group, new Map()]))
  if (!existsSync(log)) return ends
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const [group, body, at] = line.split(' ')
    const ofGroup = ends.get(group)
    if (ofGroup === undefined) continue
    ofGroup.set(body, [...(ofGroup.get(body) ?? []), Number(at)])
  }
  return ends
}

async function until(condition, what, timeoutMs = 120_000) {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await pause(100)
  }
}

function loader(producer) {
  const sentAt = new Map()
  const ending = new AbortController()
  const sends = []
  const loop = (async () => {
    for (let n = 0; !ending.signal.aborted; n++) {
      const body = String(n)
      // With a dedup key an attempt whose answer was lost is no second message.
      const send = producer.send({ topic: 'orders', body, orderBy: `order-${n % 1024}`, dedupKey: body })
      const stored = send.then(() => sentAt.set(body, Date.now()))
      // Reported by end(); unhandled it would end this process, and leave the others running.
      stored.catch(() => ending.abort())
      sends.push(stored)
      // Ten at a time: a timer per message would be what is measured.
      if (n % 10 === 9) await pause(10_000 / perSecond)
    }
  })()
  return {
    sentAt,
    async end() {
      ending.abort()
      await loop
      await Promise.all(sends)
    },
  }
}

const broker = start(here('../../packages/cli/bin/tandem.js'), [
  'up',
  '--port',
  '0',
  '--data-dir',
  join(folder, 'data'),
])
try {
  const nameServers = /ready on (\S+)/.exec(await broker.ready)[1]
  const admin = new Admin({ nameServers })
  const producer = new Producer({ nameServers, group: 'p', sendTimeoutMs: 60_000 })
  await Promise.all([admin.start(), producer.start()])
  await admin.createTopic('orders', { queues: 8 })
  const member = () => start(here('nest-member.mjs'), [JSON.stringify({ nameServers, log, workMsMax })])
  let running = [member(), member()]
  await Promise.all(running.map(({ ready }) => ready))
  const load = loader(producer)
  const stops = []
  for (let n = 0; n < rollouts; n++) {
    const before = load.sentAt.size
    await until(() => load.sentAt.size > before + perSecond / 2, 'load goes on')
    const [old, other] = running
    const fresh = member()
    const [stopMs] = await Promise.all([stop(old.child), fresh.ready])
    stops.push(Math.round(stopMs))
    running = [other, fresh]
  }
  await load.end()
  const isAll = () => [...finished().values()].every((bodies) => bodies.size === load.sentAt.size)
  await until(isAll, 'every message handled by every group', settleMs).catch((error) => console.error(error.message))
  for (const { child } of running) stops.push(Math.round(await stop(child)))
  const report = { rollouts, sent: load.sentAt.size, longestStopMs: Math.max(...stops), groups: {} }
  for (const [group, bodies] of finished()) {
    const waits = [...bodies].map(([body, [first]]) => first - load.sentAt.get(body))
    report.groups[group] = {
      lost: load.sentAt.size - bodies.size,
      again: [...bodies.values()].filter((ends) => ends.length > 1).length,
      longestWayMs: waits.reduce((a, b) => Math.max(a, b), 0),
    }
  }
  await Promise.all([producer.close(), admin.close()])
  console.table(report.groups)
  console.log(JSON.stringify(report))
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)
