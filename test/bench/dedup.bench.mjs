// The dedup window of the broker by itself: memory, insert, lookup, checkpoint and restart. Times are of the processor, so that others at work
// on the machine count less.
import { DedupWindow } from '../../broker/dist/dedup/index.js'

const clock = { now: () => 1_700_000_000_000, monotonic: () => 0, random: Math.random }
const topic = { nameBytes: Buffer.from('payments'), dedupWindowMs: -1 }
const KEY_BYTES = 32

/** Processor time of this process, ns. */
function cpuNs() {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

/** One key after the other in one buffer, as the send handler has it. */
function keyWriter() {
  const bytes = Buffer.alloc(KEY_BYTES, 'k')
  return { bytes, write: (n) => bytes.write(n.toString(16).padStart(16, '0'), 8, 'latin1') }
}

function keys(count, isOwn) {
  const options = { clock, read: () => undefined, entriesMax: 50_000_000, ownKeysMax: 50_000_000 }
  const window = new DedupWindow(options)
  const key = keyWriter()
  let slowest = 0
  let started = cpuNs()
  for (let n = 0; n < count; n += 1_000) {
    const begun = cpuNs()
    for (let i = n; i < n + 1_000; i++) {
      key.write(i)
      window.find(topic, key.bytes, 0, KEY_BYTES, isOwn)
      window.add(i * 300, clock.now())
    }
    slowest = Math.max(slowest, (cpuNs() - begun) / 1e6)
  }
  const insertNs = (cpuNs() - started) / count
  started = cpuNs()
  const looks = Math.min(count, 1_000_000)
  for (let i = 0; i < looks; i++) {
    key.write(count + i)
    window.find(topic, key.bytes, 0, KEY_BYTES, isOwn)
  }
  const missNs = (cpuNs() - started) / looks
  started = cpuNs()
  const parts = window.snapshot(Number.POSITIVE_INFINITY)
  const snapshotMs = (cpuNs() - started) / 1e6
  const snapshot = Buffer.concat(parts)
  const next = new DedupWindow(options)
  started = cpuNs()
  next.restore(snapshot, 0)
  const restoreMs = (cpuNs() - started) / 1e6
  const { bytes, entries } = window.stats()
  if (entries !== count || next.stats().entries !== count) throw new Error('keys are missing')
  return {
    'bytes/key': Number((bytes / count).toFixed(1)),
    'find+add ns': Math.round(insertNs),
    'slowest 1000 ms': Number(slowest.toFixed(1)),
    'find new ns': Math.round(missNs),
    'snapshot ms': Number(snapshotMs.toFixed(1)),
    'snapshot MiB': Math.round(snapshot.length / 2 ** 20),
    'restore ms': Math.round(restoreMs),
  }
}

export const benchmarks = [
  { name: 'dedup: unique ids', messages: { smoke: 5_000, full: 1_000_000 }, run: (count) => keys(count, false) },
  {
    name: 'dedup: keys of applications',
    messages: { smoke: 5_000, full: 10_000_000 },
    run: (count) => keys(count, true),
  },
]
