import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBroker } from '@tandemmq/broker'
import type { Broker } from '@tandemmq/broker'
import { Producer } from '@tandemmq/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { called, calledJson } from './call-test-kit.ts'

let directory: string
let broker: Broker
let producer: Producer

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-cli-timers-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
  producer = new Producer({ nameServers: broker.address, group: 'shop' })
  await producer.start()
})

afterAll(async () => {
  await producer?.close()
  await broker?.close()
  rmSync(directory, { recursive: true, force: true })
})

const tandem = (...argv: string[]) => called(...argv, '--name-server', broker.address)
const json = <T>(...argv: string[]) => calledJson<T>(...argv, '--name-server', broker.address)

const HOUR = 3_600_000

test('timers are listed by due time, shown with their body, moved and taken back by key', async () => {
  expect((await tandem('timers', 'list')).out).toBe('no timers')
  const late = await producer.send({ topic: 'orders', keys: 'o-1', body: { id: 1 }, delayMs: 2 * HOUR })
  const soon = await producer.send({ topic: 'orders', keys: ['o-2', 'vip'], body: 'x', delayMs: HOUR })
  await producer.send({ topic: 'payments', keys: 'p-1', body: 'y', delayMs: 3 * HOUR })
  const listed = await json<{ messageId: string; keys: string[] }[]>('timers', 'list', '--topic', 'orders')
  expect(listed.map(({ messageId }) => messageId)).toEqual([soon.messageId, late.messageId])
  expect((await tandem('timers', 'list', '--max', '1')).out).toMatch(/^DUE .+\n\S+Z +orders +\S+ +o-2 vip +1 /)
  expect(await json('timers', 'list', '--from', '61m', '--to', '130m')).toMatchObject([{ messageId: late.messageId }])

  expect((await tandem('timers', 'show', 'orders', 'o-1')).out).toMatch(
    /^due +\S+Z to orders queue \d\n[^]+\{"id":1\}$/,
  )
  expect(await json('timers', 'show', 'orders', soon.messageId)).toMatchObject([{ timer: { topic: 'orders' } }])

  expect((await tandem('timers', 'reschedule', 'orders', 'o-1', '--in', '30m')).out).toBe('1 rescheduled')
  const [first] = await json<{ messageId: string }[]>('timers', 'list')
  expect(first?.messageId).toBe(late.messageId)
  const moved = await json('timers', 'reschedule', 'orders', 'vip', '--at', '2001-01-01T00:00:00Z')
  expect(moved).toMatchObject({ outcome: 'rescheduled', rescheduled: 1, fired: 0 })
  await expect.poll(async () => (await tandem('timers', 'cancel', 'orders', 'vip')).out).toBe('already delivered')

  expect((await tandem('timers', 'cancel', 'orders', 'o-1')).out).toBe('1 taken back: never delivered')
  expect((await tandem('timers', 'cancel', 'orders', 'o-1')).out).toBe('taken back before')
  expect(await json('timers', 'list')).toMatchObject([{ topic: 'payments' }])
})

test.each(['cancel', 'show'])('timers %s of what never waited is a failure with a code', async (command) => {
  const { code, err } = await tandem('timers', command, 'orders', 'never')
  expect([code, err]).toEqual([1, expect.stringContaining('tandem: [QUERY_NOT_FOUND]')])
})

test.each([
  [['timers', 'cancel', 'orders'], 'KEY is missing'],
  [['timers', 'reschedule', 'orders', 'k'], '--at and --in'],
  [['timers', 'reschedule', 'orders', 'k', '--in', 'soon'], '--in takes a duration'],
  [['timers', 'list', '--from', 'soon'], '--from takes an instant'],
])('%j is wrong usage', async (argv, words) => {
  const { code, err } = await tandem(...(argv as string[]))
  expect([code, err]).toEqual([2, expect.stringContaining(words)])
})
