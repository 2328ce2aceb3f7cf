import { Injectable, Logger, Module, UsePipes } from '@nestjs/common'
import type { PipeTransform } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import { systemClock } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  Idempotent,
  OnMessage,
  PartialFailure,
  ReconsumeLater,
  RejectMessage,
  TandemBatchContext,
  TandemModule,
} from '../index.ts'
import { BatchCollector } from './batch-collector.ts'
import { withDeadline } from './deadline.ts'
import { TandemContext } from './tandem-context.ts'

interface Row {
  n: number
}

class EvenOnly implements PipeTransform {
  transform(rows: unknown): unknown {
    // A pipe of the method sees its context too.
    if (!Array.isArray(rows)) return rows
    const odd: Row | undefined = rows.find(({ n }) => n % 2 === 1)
    if (odd !== undefined) throw new Error(`${odd.n} is odd`)
    return rows
  }
}

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const calls: number[][] = []
const attempts: number[][] = []
let act: (rows: Row[]) => unknown = () => undefined

@Injectable()
class Loader {
  @OnMessage({ topic: 'rows', group: 'loader', batch: { sizeMax: 5, waitMs: 20 }, concurrencyMax: 1, attemptsMax: 3 })
  load(rows: Row[], context: TandemBatchContext): unknown {
    calls.push(rows.map(({ n }) => n))
    attempts.push(context.getContexts().map((one) => one.getAttempt()))
    return act(rows)
  }

  @UsePipes(EvenOnly)
  @OnMessage({ topic: 'even', group: 'even', batch: { sizeMax: 10, waitMs: 50 }, payload: 'json' })
  even(rows: Row[]): void {
    calls.push(rows.map(({ n }) => n))
  }
}

@Module({ imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })], providers: [Loader] })
class AppModule {}

let app: TestingModule
let broker: TestBroker

beforeAll(async () => {
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(silent)
  app = await useTestBroker(builder, { clock: 'virtual' }).compile()
  await app.init()
  Logger.overrideLogger(false)
  broker = app.get(TestBroker)
})

afterAll(() => app?.close())

beforeEach(() => {
  calls.length = 0
  attempts.length = 0
  act = () => undefined
})

const dead = (group: string) => broker.sent(`%DLQ%${group}`).map(({ properties }) => properties['DLQ_REASON'])

async function deliver(topic: string, numbers: readonly number[]): Promise<void> {
  await Promise.all(numbers.map((n) => broker.deliver(topic, { n })))
  await broker.settled()
}

test('a batch listener gets arrays of at most sizeMax, every message once, and an incomplete one after waitMs', async () => {
  const numbers = Array.from({ length: 23 }, (_, n) => n)
  await deliver('rows', numbers)
  expect(calls.flat().toSorted((a, b) => a - b)).toEqual(numbers)
  expect(Math.max(...calls.map((call) => call.length))).toBeLessThanOrEqual(5)
  expect(calls.length).toBeLessThan(23)
})

test('what a batch listener throws is the outcome of the whole batch', async () => {
  act = () => {
    throw new ReconsumeLater({ delayMs: 2_000 })
  }
  await deliver('rows', [1, 2, 3])
  act = () => undefined
  await broker.advance(2_000)
  await broker.settled()
  expect(calls.flat().toSorted()).toEqual([1, 1, 2, 2, 3, 3])
  expect(attempts.flat().toSorted()).toEqual([1, 1, 1, 2, 2, 2])
})

test('a partial failure fails the messages it names, each in its own way, and consumes the others', async () => {
  act = (rows) => {
    const failures = rows.flatMap(({ n }, index): [number, unknown][] => {
      if (n === 2) return [[index, new RejectMessage('two')]]
      return n === 3 ? [[index, new ReconsumeLater({ delayMs: 1_000 })]] : []
    })
    if (failures.length > 0) throw new PartialFailure(failures)
  }
  await deliver('rows', [1, 2, 3, 4])
  expect(dead('loader')).toEqual([expect.stringContaining('two')])
  act = () => undefined
  calls.length = 0
  await broker.advance(40_000)
  await broker.settled()
  expect(calls).toEqual([[3]])
})

test('a payload that cannot be read never gets into a batch, and is a dead letter alone', async () => {
  await Promise.all([broker.deliver('even', '{"n":'), deliver('even', [10, 12])])
  await broker.settled()
  expect(calls.flat().toSorted()).toEqual([10, 12])
  expect(dead('even')).toHaveLength(1)
})

test('of a batch that a pipe refuses only the guilty messages are dead letters', async () => {
  await deliver('even', [2, 4, 5, 6])
  expect(calls.flat().toSorted()).toEqual([2, 4, 6])
  expect(dead('even').at(-1)).toContain('payload refused: 5 is odd')
})

test('a batch listener that is @Idempotent fails the boot by name', async () => {
  @Injectable()
  class Both {
    @Idempotent()
    @OnMessage({ topic: 'rows', group: 'both', batch: { sizeMax: 2 } })
    load(): void {}
  }
  const root = TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })
  const builder = Test.createTestingModule({ imports: [root], providers: [Both] }).setLogger(silent)
  const module = await useTestBroker(builder, { broker }).compile()
  await expect(module.init()).rejects.toMatchObject({
    code: 'LISTENER_INVALID',
    message: expect.stringContaining('Both.load'),
  })
  // Nest 11 repeats what failed the boot.
  await module.close().catch(() => {})
})

test('a deadline counts for the whole batch, whose context stays that of a batch', async () => {
  const invoke = withDeadline(
    60_000,
    { clock: systemClock, isPayloadRefusal: () => false },
    async (_, context) => (context as TandemBatchContext).getContexts().length,
  )
  expect(await invoke([], new TandemBatchContext([contextOf(), contextOf()]))).toBe(2)
})

const contextOf = (signal: AbortSignal = new AbortController().signal) =>
  new TandemContext([{ topic: 'rows', messageId: 'M', attempt: 1 } as never, 'g', { signal } as never])

function collectorOf(invoke: (rows: unknown) => Promise<unknown>, concurrencyMax = 1) {
  const batch = { sizeMax: 2, waitMs: 60_000 }
  return new BatchCollector({ batch, concurrencyMax, clock: systemClock, invoke, isPayloadRefusal: () => false })
}

test('no more calls run at a time than concurrencyMax, those who wait form full batches', async () => {
  const given: unknown[] = []
  let go: () => void = () => {}
  const collector = collectorOf((rows) => {
    given.push(rows)
    return new Promise<void>((resolve) => (go = resolve))
  })
  const joined = [1, 2, 3, 4, 5].map((n) => collector.join(n, contextOf()))
  expect(given).toEqual([[1, 2]])
  go()
  await joined[0]
  await expect
    .poll(() => given)
    .toEqual([
      [1, 2],
      [3, 4],
    ])
  collector.ending()
  go()
  await expect.poll(() => given).toEqual([[1, 2], [3, 4], [5]])
  go()
  await Promise.all(joined)
})

test('an ending consumer does not wait for a batch to fill, and what was given up is not handed over', async () => {
  const given: unknown[] = []
  const collector = collectorOf(async (rows) => void given.push(rows))
  const controller = new AbortController()
  controller.abort(new Error('given up'))
  const alone = collector.join(1, contextOf(controller.signal))
  collector.ending()
  await expect(alone).rejects.toThrow('given up')
  await collector.join(2, contextOf())
  expect(given).toEqual([[2]])
})
