// Delayed messages in the real program: how fast they are parked, taken back and delivered after a downtime, what a
// waiting one costs in memory, and how late they are while nothing else goes on. 100-byte bodies, flush=async.
import { readFileSync } from 'node:fs'
import { setTimeout as elapse } from 'node:timers/promises'
import { DelayService } from '../../broker/dist/delay/index.js'
import { Admin, Producer, PullConsumer } from '../../packages/client/dist/index.js'
import { emptyRecordFields, encodeProperties, PropertyScan } from '../../packages/protocol/dist/index.js'
import { systemClock } from '../../packages/remoting/dist/index.js'
import { withBroker } from './broker-program.mjs'
import { measure } from './figures.mjs'

const SETTINGS = ['flush=async', 'dedupWindowMs=0']
const body = Buffer.alloc(100, 'x')
const MIB = 1 << 20
const YEAR_MS = 360 * 86_400_000
const IN_FLIGHT = 512

/** Resident memory of the program once it has come to rest, MiB. */
async function residentMiB({ pid }) {
  await elapse(1_500)
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

async function lanes(count, inFlight, act) {
  let next = 0
  const lane = async () => {
    for (let n = next++; n < count; n = next++) await act(n)
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane))
}

async function stored(admin, topic) {
  const queues = await admin.queueOffsets(topic).catch(() => [])
  return queues.reduce((sum, { maxOffset }) => sum + Number(maxOffset), 0)
}

async function storedAtLeast(admin, topic, count) {
  while ((await stored(admin, topic)) < count) await elapse(20)
}

/** When the first and the last of `count` messages were stored. */
async function storeTimes(broker, topic, count) {
  const pull = new PullConsumer({ nameServers: broker.address, group: 'bench' })
  await pull.start()
  const times = { first: Infinity, last: 0 }
  let left = count
  for await (const { storedAt } of pull.messages(topic, { from: 'first' })) {
    times.first = Math.min(times.first, Number(storedAt))
    times.last = Math.max(times.last, Number(storedAt))
    if (--left === 0) break
  }
  await pull.close()
  return times
}

/** Everything that needs `count` waiting timers, in one run: parking a million takes a while. */
function lifecycle(count) {
  return withBroker(SETTINGS, async (broker) => {
    const producer = new Producer({ nameServers: broker.address, group: 'bench', sendTimeoutMs: 30_000 })
    await producer.start()
    // Memory of the log, of connections and of compiled code is there before the timers are.
    await lanes(count, IN_FLIGHT, () => producer.send({ topic: 'warm', body }))
    const before = await residentMiB(broker)
    const dueFrom = Date.now() + YEAR_MS
    const receipts = []
    const park = async (n) => {
      const receipt = await producer.send({
        topic: 'parked',
        body,
        deliverAt: new Date(dueFrom + (n % 86_400) * 1_000),
      })
      if (n < Math.min(count, 50_000)) receipts.push(receipt)
    }
    const insert = await measure(count, () => lanes(count, IN_FLIGHT, park))
    const rssMiB = (await residentMiB(broker)) - before
    const cancel = await measure(receipts.length, () =>
      lanes(receipts.length, IN_FLIGHT, async (n) => {
        const outcome = await producer.cancel(receipts[n])
        if (outcome !== 'cancelled') throw new Error(`a cancel was answered ${outcome}`)
      }),
    )
    await producer.close()
    await broker.stop('SIGKILL')
    const started = performance.now()
    await broker.start(...SETTINGS)
    const recoveryMs = Math.round(performance.now() - started)
    return { insertPerSecond: insert.perSecond, cancelPerSecond: cancel.perSecond, rssMiB: round(rssMiB), recoveryMs }
  })
}

/** What falls due while the broker is down is delivered after its start; live sends go on meanwhile. */
function catchUp(count) {
  return withBroker(SETTINGS, async (broker) => {
    const parker = new Producer({ nameServers: broker.address, group: 'bench', sendTimeoutMs: 30_000 })
    await parker.start()
    const deliverAt = new Date(Date.now() + 2_000 + Math.ceil(count / 8))
    await lanes(count, IN_FLIGHT, () => parker.send({ topic: 'overdue', body, deliverAt }))
    await parker.close()
    await broker.stop('SIGKILL')
    await elapse(Math.max(0, Number(deliverAt) - Date.now() + 100))
    await broker.start(...SETTINGS)
    const admin = new Admin({ nameServers: broker.address })
    const producer = new Producer({ nameServers: broker.address, group: 'bench' })
    await Promise.all([admin.start(), producer.start()])
    const traffic = { isOver: false, latencies: [] }
    const sending = measure(1, async () => {
      while (!traffic.isOver) {
        const sentAt = performance.now()
        await producer.send({ topic: 'live', body })
        traffic.latencies.push(performance.now() - sentAt)
      }
      return traffic.latencies
    })
    await storedAtLeast(admin, 'overdue', count)
    traffic.isOver = true
    const { p50Ms, p99Ms } = await sending
    await Promise.all([admin.close(), producer.close()])
    const times = await storeTimes(broker, 'overdue', count)
    const seconds = Math.max(1, times.last - times.first) / 1_000
    const live = traffic.latencies.length
    return { firePerSecond: Math.round(count / seconds), live, liveP50Ms: p50Ms, liveP99Ms: p99Ms }
  })
}

/** Parks them before the first is due, however slow the machine is now. @returns their topic */
async function parkedInTime(producer, count) {
  for (let leadMs = 2_000 + Math.ceil(count / 20); ; leadMs *= 2) {
    const topic = `even-${leadMs}`
    const first = Date.now() + leadMs
    await lanes(count, IN_FLIGHT, (n) => {
      const deliverAt = first + Math.floor(n / 10)
      return producer.send({ topic, body, deliverAt: new Date(deliverAt), properties: { due: `${deliverAt}` } })
    })
    if (Date.now() < first) return topic
  }
}

/** 10,000 due per second, evenly, and nothing else: store time of the delivery minus due time. */
function lateness(count) {
  return withBroker(SETTINGS, async (broker) => {
    const producer = new Producer({ nameServers: broker.address, group: 'bench', sendTimeoutMs: 30_000 })
    const admin = new Admin({ nameServers: broker.address })
    const pull = new PullConsumer({ nameServers: broker.address, group: 'bench' })
    await Promise.all([producer.start(), admin.start(), pull.start()])
    const topic = await parkedInTime(producer, count)
    await storedAtLeast(admin, topic, count)
    const late = []
    for await (const { storedAt, properties } of pull.messages(topic, { from: 'first' })) {
      late.push(Number(storedAt) - Number(properties.due))
      if (late.length === count) break
    }
    late.sort((a, b) => a - b)
    if (late[0] < 0) throw new Error(`delivered ${-late[0]} ms early`)
    await Promise.all([producer.close(), admin.close(), pull.close()])
    const at = (share) => late[Math.floor((late.length - 1) * share)]
    return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: late.at(-1) }
  })
}

/** The room alone, on a log that keeps nothing: what one waiting message costs, heap and arrays apart. */
async function room(count) {
  let end = 0
  const log = {
    durableOffset: 0,
    append(_topic, _queueId, fields, completion) {
      fields.physicalOffset = end
      end += 300
      fields.storeTimestamp = systemClock.now()
      completion.stored()
    },
  }
  const service = new DelayService({ clock: systemClock, log })
  service.start()
  const scan = new PropertyScan()
  const fields = emptyRecordFields()
  const dueFrom = Date.now() + YEAR_MS
  const park = (n) => {
    fields.topic = Buffer.from('bench')
    fields.properties = encodeProperties({ UNIQ_KEY: `7F0000010001135FBAA4${n}`, TIMER_DELIVER_MS: `${dueFrom + n}` })
    fields.propertiesStart = 0
    fields.propertiesEnd = fields.properties.length
    scan.scan(fields.properties, 0, fields.propertiesEnd)
    service.append(fields, service.deliverAt(scan, fields.properties, Date.now()))
  }
  const used = () => {
    globalThis.gc?.()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return { heap: heapUsed / MIB, arrays: arrayBuffers / MIB }
  }
  const before = used()
  const figures = await measure(count, () => {
    for (let n = 0; n < count; n++) park((n * 2_654_435_761) % count)
  })
  const after = used()
  if (service.stats().pending !== count) throw new Error('not everything waits')
  service.close()
  const heapMiB = round(after.heap - before.heap)
  const arraysMiB = round(after.arrays - before.arrays)
  return { insertPerSecond: figures.perSecond, heapMiB, arraysMiB }
}

const round = (value) => Number(value.toFixed(1))

export const benchmarks = [
  { name: 'timers: the room alone', messages: { smoke: 300, full: 1_000_000 }, run: room },
  { name: 'timers: park, cancel, kill, restart', messages: { smoke: 300, full: 1_000_000 }, run: lifecycle },
  { name: 'timers: catch up after a downtime', messages: { smoke: 300, full: 300_000 }, run: catchUp },
  { name: 'timers: lateness at 10,000/s', messages: { smoke: 300, full: 100_000 }, run: lateness },
]
