import { Admin, Producer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// The program in a process of its own, its clients in others, real sockets and files between them.
let directory: string
const running = new Running()

beforeEach(() => {
  directory = running.directory('timers')
})

function client(readyLine: RegExp, ...args: string[]): Promise<ChildProgram> {
  return running.program(new ChildProgram({ file: 'test/kit/timer-process.mjs', args, readyLine }))
}

const up = (port: number): Promise<ChildProgram> => running.program(tandemUp({ dataDir: directory, port }))

test('reminders of two programs reach two others once, on time, over a kill: not those taken back, later those moved', {
  timeout: 90_000,
}, async () => {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const broker = await up(port)
  await Promise.all(['0', '100'].map((first) => client(/^sent$/m, 'send', address, first, '50', '8000')))
  const producer = await running.client(
    new Producer({ nameServers: address, group: 'operator', sendTimeoutMs: 10_000 }),
  )
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
  const consumers = await Promise.all([0, 1].map(() => client(/^ready$/m, 'consume', address)))
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
