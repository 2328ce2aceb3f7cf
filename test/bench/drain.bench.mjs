// A backlog of 1 KiB messages on eight queues, drained by one member of a group and by eight of another, each a process of its own.
// The clock runs from the first message any of them handled to the last. What counts is the ratio and the memory of a member.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Admin, Producer } from '../../packages/client/dist/index.js'
import { withBroker } from './broker-program.mjs'

const member = fileURLToPath(new URL('drain-member.mjs', import.meta.url))
const body = Buffer.alloc(1_024, 'x')
const BATCH = 500

async function fill(address, count) {
  const admin = new Admin({ nameServers: address })
  await admin.start()
  await admin.createTopic('backlog', { queues: 8 })
  const producer = new Producer({ nameServers: address, group: 'bench', sendTimeoutMs: 60_000 })
  await producer.start()
  for (let sent = 0; sent < count; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - sent) }, () => ({ topic: 'backlog', body }))
    await producer.sendAll(batch)
  }
  await producer.close()
  await admin.close()
}

async function drain(address, count, members) {
  const programs = []
  const seen = new Array(members).fill(0)
  let rss = 0
  let started = 0
  let finish
  const drained = new Promise((resolve) => (finish = resolve))
  for (let n = 0; n < members; n++) {
    const program = spawn(process.execPath, [member, address, `drain${members}`])
    programs.push(program)
    createInterface({ input: program.stdout }).on('line', (line) => {
      const [handled, mib] = line.split(' ').map(Number)
      if (handled > 0 && started === 0) started = performance.now() - 50
      seen[n] = handled
      rss = Math.max(rss, mib)
      if (seen.reduce((sum, one) => sum + one, 0) >= count) finish(performance.now())
    })
  }
  const seconds = ((await drained) - started) / 1_000
  for (const program of programs) program.kill('SIGTERM')
  await Promise.all(programs.map((program) => once(program, 'exit')))
  const busy = seen.filter((handled) => handled > 0).length
  return { 'messages/s': Math.round(count / seconds), 'MiB of a member': rss, 'members with work': busy }
}

const run = (members) => (count) =>
  withBroker(['flush=async'], async ({ address }) => {
    await fill(address, count)
    return drain(address, count, members)
  })

export const benchmarks = [
  { name: 'drain: backlog, one consumer', messages: { smoke: 2_000, full: 200_000 }, run: run(1) },
  { name: 'drain: backlog, eight consumers', messages: { smoke: 2_000, full: 200_000 }, run: run(8) },
]
