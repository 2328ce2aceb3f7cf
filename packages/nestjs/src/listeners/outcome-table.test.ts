import { Catch, Injectable, Logger, Module, UseFilters, UseGuards } from '@nestjs/common'
import type { CanActivate, ExceptionFilter, LoggerService } from '@nestjs/common'
import { Ctx, Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import type { StandardSchema } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { EMPTY, of } from 'rxjs'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { OnMessage, ReconsumeLater, RejectMessage, TandemContext, TandemModule, TandemTemplate } from '../index.ts'

// The table of outcomes, one test per row, each against a broker: what becomes of the message, and of who asked.

const positive: StandardSchema<{ amount: number }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: async (value: unknown) => {
      const { amount } = value as { amount: number }
      if (amount > 0) return { value: { amount: amount * 100 } }
      return { issues: [{ message: 'must be positive', path: ['amount'] }] }
    },
  },
} as never

class Nobody implements CanActivate {
  canActivate(): boolean {
    return false
  }
}

class KnownError extends Error {}

@Catch(KnownError)
class Answering implements ExceptionFilter {
  catch(): unknown {
    return of({ from: 'the filter' })
  }
}

/** Deliveries as `listener attempt`. */
const heard: string[] = []
const signals: AbortSignal[] = []
let act: () => unknown = () => undefined

@Injectable()
class Rows {
  @OnMessage({ topic: 'any', group: 'any', attemptsMax: 3 })
  any(_: unknown, context: TandemContext): unknown {
    heard.push(`any ${context.getAttempt()}`)
    return act()
  }

  @OnMessage({ topic: 'schema', group: 'schema', schema: positive })
  schema(@Payload('amount') amount: number): number {
    heard.push(`schema ${amount}`)
    return amount
  }

  @OnMessage({
    topic: 'reader',
    group: 'reader',
    payload: () => {
      throw new Error('not my format')
    },
  })
  reader(): void {
    heard.push('reader')
  }

  @UseGuards(Nobody)
  @OnMessage({ topic: 'guard', group: 'guard', attemptsMax: 2 })
  guarded(): void {
    heard.push('guarded')
  }

  @UseGuards(Nobody)
  @OnMessage({ topic: 'strict', group: 'strict', guardRefusal: 'reject' })
  strict(): void {
    heard.push('strict')
  }

  @UseFilters(Answering)
  @OnMessage({ topic: 'filter', group: 'filter', attemptsMax: 2 })
  filtered(_: unknown, context: TandemContext): unknown {
    heard.push(`filtered ${context.getAttempt()}`)
    return act()
  }

  @OnMessage({ topic: 'deadline', group: 'deadline', timeoutMs: 5, attemptsMax: 2 })
  async slow(@Ctx() context: TandemContext): Promise<void> {
    heard.push(`slow ${context.getAttempt()}`)
    signals.push(context.signal)
    if (context.getAttempt() === 1) await new Promise(() => {})
  }
}

@Module({ imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })], providers: [Rows] })
class AppModule {}

const logged: unknown[][] = []
const logger = {
  log() {},
  warn: (...text) => logged.push(text),
  error: (...text) => logged.push(text),
} as LoggerService
let app: TestingModule
let broker: TestBroker
let tandem: TandemTemplate

beforeAll(async () => {
  const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(logger)
  app = await useTestBroker(builder, { clock: 'virtual' }).compile()
  await app.init()
  broker = app.get(TestBroker)
  tandem = app.get(TandemTemplate)
})

afterAll(() => app?.close())

beforeEach(() => {
  heard.length = 0
  logged.length = 0
  act = () => undefined
  Logger.overrideLogger(logger)
})

afterEach(() => vi.restoreAllMocks())

const dead = (group: string) => broker.sent(`%DLQ%${group}`).map(({ properties }) => properties['DLQ_REASON'])
const ask = (topic: string, body: unknown = {}) => tandem.request({ topic, body }, { timeoutMs: 10_000 })

async function send(topic: string, body: unknown = {}): Promise<void> {
  await broker.deliver(topic, body)
  await broker.settled()
}

/** Lets the retry fall due. */
async function later(ms: number): Promise<void> {
  await broker.advance(ms)
  await broker.settled()
}

test.each([
  ['a value', () => ({ level: 7 }), { level: 7 }],
  ['a promise', async () => [1], [1]],
  ['nothing', () => undefined, null],
  ['text', () => 'in stock', 'in stock'],
  ['an Observable', () => of(1, 2), 2],
  ['EMPTY', () => EMPTY, null],
])('resolves (%s): consumed, and the value is the reply', async (_, returned, reply) => {
  act = returned
  const answer = await ask('any')
  expect(typeof reply === 'string' ? answer.text() : answer.json()).toEqual(reply)
  await later(40_000)
  expect(heard).toEqual(['any 1'])
})

test('throws anything: again by the delay levels until attemptsMax, then dead letter, and each time logged with all that names it', async () => {
  act = () => {
    throw new Error('no stock', { cause: 'the cause' })
  }
  await send('any')
  expect(heard).toEqual(['any 1'])
  await later(9_999)
  expect(heard).toEqual(['any 1'])
  await later(1)
  await later(30_000)
  expect(heard).toEqual(['any 1', 'any 2', 'any 3'])
  expect(dead('any')).toEqual([expect.stringContaining('no stock')])
  const lines = logged.map(([line]) => String(line)).filter((line) => line.includes('Rows.any'))
  expect(lines).toHaveLength(3)
  for (const [n, line] of lines.entries()) {
    expect(line).toMatch(new RegExp(`message [0-9A-F]+ of topic any, group any, attempt ${n + 1}.*no stock`))
  }
})

test('ReconsumeLater: again after its delay and not before, and counted', async () => {
  act = () => {
    throw new ReconsumeLater({ delayMs: 4_000 })
  }
  await send('any')
  await later(3_999)
  expect(heard).toEqual(['any 1'])
  await later(1)
  expect(heard).toEqual(['any 1', 'any 2'])
  await later(4_000)
  await later(40_000)
  expect(heard).toEqual(['any 1', 'any 2', 'any 3'])
  expect(dead('any')).toHaveLength(2)
})

test('RejectMessage: dead letter at once with the reason', async () => {
  act = () => {
    throw new RejectMessage('negative amount')
  }
  await send('any')
  expect(heard).toEqual(['any 1'])
  expect(dead('any').at(-1)).toContain('negative amount')
})

test('a payload the schema refuses: dead letter at once with the issues; what it accepts arrives as the schema made it', async () => {
  await send('schema', { amount: -1 })
  await send('schema', { amount: 2 })
  expect(heard).toEqual(['schema 200'])
  expect(dead('schema')).toEqual([expect.stringMatching(/amount.*must be positive/)])
})

test('a deserializer that fails: dead letter at once with what it said', async () => {
  await send('reader')
  expect(heard).toEqual([])
  expect(dead('reader')).toEqual([expect.stringContaining('not my format')])
})

test('guard refuses: as throws, by default', async () => {
  await send('guard')
  expect(dead('guard')).toEqual([])
  await later(10_000)
  expect(dead('guard')).toEqual([expect.stringContaining('Forbidden')])
  expect(heard).toEqual([])
})

test('guard refuses with guardRefusal reject: dead letter at once', async () => {
  await send('strict')
  expect(dead('strict')).toEqual([expect.stringMatching(/guard.*Forbidden/)])
  expect(heard).toEqual([])
})

test.each([
  ['throws anything', 'no stock', () => new Error('no stock')],
  ['ReconsumeLater', 'later', () => new ReconsumeLater({ delayMs: 1_000 })],
  ['RejectMessage', 'negative amount', () => new RejectMessage('negative amount')],
])('%s: who asked is told, instead of waiting', async (_, words, made) => {
  act = () => {
    throw made()
  }
  const asking = ask('any')
  await expect(asking).rejects.toMatchObject({ code: 'REQUEST_FAILED', message: expect.stringContaining(words) })
  act = () => undefined
  await later(40_000)
})

test.each([
  ['schema', 'must be positive'],
  ['reader', 'not my format'],
  ['guard', 'Forbidden'],
  ['deadline', 'more than 5 ms'],
])('a refusal by %s: who asked is told', async (topic, words) => {
  await expect(ask(topic, { amount: -1 })).rejects.toMatchObject({
    code: 'REQUEST_FAILED',
    message: expect.stringContaining(words),
  })
  await later(40_000)
})

test('filter answers with a value: consumed, and that value is the reply', async () => {
  act = () => {
    throw new KnownError('caught')
  }
  expect((await ask('filter')).json()).toEqual({ from: 'the filter' })
  await later(40_000)
  expect(heard).toEqual(['filtered 1'])
  expect(dead('filter')).toEqual([])
})

test('filter that is not meant for the error, and outcomes, change nothing', async () => {
  act = () => {
    throw new Error('another one')
  }
  await send('filter')
  await later(10_000)
  expect(heard).toEqual(['filtered 1', 'filtered 2'])
  act = () => {
    throw new RejectMessage('an outcome')
  }
  await send('filter')
  expect(dead('filter')).toEqual([expect.stringContaining('another one'), expect.stringContaining('an outcome')])
})

test('deadline passes: again later, and the signal of the context is aborted', async () => {
  await send('deadline')
  expect(heard).toEqual(['slow 1'])
  expect(signals[0]?.aborted).toBe(true)
  await later(10_000)
  expect(heard).toEqual(['slow 1', 'slow 2'])
  expect(signals[1]?.aborted).toBe(false)
  expect(dead('deadline')).toEqual([])
})
