import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// The program in a process of its own, its clients in others, real sockets and files between them.
let directory: string
const endings: (() => unknown)[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-timers-'))
})

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
  rmSync(directory, { recursive: true, force: true })
})

function client(readyLine: RegExp, ...args: string[]): ChildProgram {
  const program = new ChildProgram({ file: 'test/kit/timer-process.mjs', args, readyLine })
  endings.push(() => program.stop('SIGKILL'))
  return program
}

async function up(port: number): Promise<ChildProgram> {
  const program = tandemUp({ dataDir: directory, port })
  endings.push(() => program.stop('SIGKILL'))
  await program.ready()
  return program
}

test('reminders of two programs reach two others once, on time, over a kill: not those taken back, later those moved', {
  timeout: 90_000,
}, async () => {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const broker = await up(port)
  const senders = ['0', '100'].map((first) => client(/^sent$/m, 'send', address, first, '50', '8000'))
  await Promise.all(senders.map((sender) => sender.ready()))
  const producer = new Producer({ nameServers: address, group: 'operator', sendTimeoutMs: 10_000 })
  endings.push(() => producer.close())
  await producer.start()
  const movedTo = Date.now() + 10_000
  for (const n of [0, 7, 101]) {
    expect(await producer.cancel({ topic: 'reminders', key: `r-${n}` })).toBe('cancelled')
  }
  for (const n of [3, 110]) {
    const moved = await producer.reschedule({ topic: 'reminders', key: `r-${n}` }, { deliverAt: new Date(movedTo) })
    expect(moved).toMatchObject({ topic: 'reminders', duplicate: false })
  }
  await broker.stop('SIGKILL')
  await up(port)
  const consumers = [client(/^ready$/m, 'consume', address), client(/^ready$/m, 'consume', address)]
  await Promise.all(consumers.map((consumer) => consumer.ready()))
  const lines = (): string[][] =>
    consumers.flatMap(({ out }) => [...out.matchAll(/^(r-\d+) (\d+) (\d+)$/gm)].map(([, ...parts]) => parts))
  await until(
    () => lines().length >= 97,
    40_000,
    () => `${lines().length} arrived`,
  )
  expect(await producer.cancel({ topic: 'reminders', key: 'r-1' })).toBe('fired')
  expect(await producer.cancel({ topic: 'reminders', key: 'r-999' })).toBe('unknown')
  const keys = lines().map(([key]) => key)
  expect(new Set(keys).size).toBe(97)
  expect(keys.filter((key) => ['r-0', 'r-7', 'r-101'].includes(`${key}`))).toEqual([])
  for (const [key = '', due, storedAt] of lines()) {
    const wanted = ['r-3', 'r-110'].includes(key) ? movedTo : Number(due)
    expect(Number(storedAt), key).toBeGreaterThanOrEqual(wanted)
  }
  await using admin = new Admin({ nameServers: address })
  await admin.start()
  expect((await admin.timers().next()).done).toBe(true)
})
