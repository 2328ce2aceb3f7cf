import { VirtualClock } from '@tandemmq/remoting/simulation'
import { beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../logger.ts'
import { TraceDispatcher } from './trace-dispatcher.ts'

let clock: VirtualClock
let sent: { body: string; keys: string }[]
let answer: () => Promise<void>
let dispatcher: TraceDispatcher

beforeEach(() => {
  clock = new VirtualClock({ seed: 1 })
  sent = []
  answer = () => Promise.resolve()
  dispatcher = new TraceDispatcher({
    clock,
    logger: silentLogger,
    send: (body, keys) => {
      sent.push({ body, keys })
      return answer()
    },
  })
})

test('records wait for company for half a second and then travel in one message, findable by each key once', async () => {
  dispatcher.append('one;', 'ID1 o-1')
  dispatcher.append('two;', 'ID2 o-1')
  await clock.advance(499)
  expect(sent).toEqual([])
  await clock.advance(2)
  expect(sent).toEqual([{ body: 'one;two;', keys: 'ID1 o-1 ID2' }])
  expect(dispatcher.stats).toEqual({ sent: 2, dropped: 0, waiting: 0 })
})

test('a hundred records are sent at once, by one request at a time', async () => {
  let release = (): void => undefined
  answer = () => new Promise((resolve) => (release = resolve))
  for (let n = 0; n < 250; n++) dispatcher.append(`${n};`, `ID${n}`)
  expect(sent.map(({ body }) => body.split(';').length - 1)).toEqual([100])
  answer = () => Promise.resolve()
  release()
  await clock.advance(1)
  expect(sent.map(({ body }) => body.split(';').length - 1)).toEqual([100, 100, 50])
})

test('a broker that does not answer costs 2,048 waiting records and no more; the rest is dropped and counted', async () => {
  answer = () => new Promise(() => undefined)
  for (let n = 0; n < 10_000; n++) dispatcher.append('x', 'ID')
  expect(dispatcher.stats.waiting).toBe(2_048)
  expect(dispatcher.stats.dropped).toBe(10_000 - 2_048 - 100)
  const closing = dispatcher.close(1_000)
  await clock.advance(1_001)
  await closing
  expect(dispatcher.stats).toMatchObject({ waiting: 0, dropped: 10_000 - 100 })
})

test('what the broker refuses is dropped and counted, and the next batch is tried', async () => {
  answer = () => Promise.reject(new Error('no'))
  dispatcher.append('a', 'A')
  await clock.advance(501)
  answer = () => Promise.resolve()
  dispatcher.append('b', 'B')
  await clock.advance(501)
  expect(dispatcher.stats).toEqual({ sent: 1, dropped: 1, waiting: 0 })
})

test('bodies stay below the size and keys below the properties of a message', async () => {
  for (let n = 0; n < 4; n++) dispatcher.append('x'.repeat(20_000), `ID${n}`)
  for (let n = 0; n < 3; n++) dispatcher.append('y', `${n}`.repeat(6_000))
  await clock.advance(501)
  expect(sent.map(({ body }) => body.length)).toEqual([40_000, 40_001, 1, 1])
  expect(dispatcher.stats.sent).toBe(7)
})

test('close sends what waits, and what comes after it is dropped', async () => {
  dispatcher.append('a', 'A')
  await clock.run(dispatcher.close(1_000))
  dispatcher.append('b', 'B')
  expect(sent).toHaveLength(1)
  expect(dispatcher.stats).toEqual({ sent: 1, dropped: 1, waiting: 0 })
})
