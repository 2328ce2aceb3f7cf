import { Inject, Injectable, Logger, Scope } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import type { TestingModule } from '@nestjs/testing'
import type { ConsumedMessage, OutgoingMessage, PreparedMessage, TransactionDecision } from '@tandemmq/client'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TandemModule, TandemProducer, tandemProducerToken, TransactionListener } from '../index.ts'
import type { LocalTransactions, ProducerDefinition } from '../index.ts'

const silent = { log: () => {}, warn: () => {}, error: () => {} }
const events: string[] = []
let outcome: TransactionDecision | Error = 'commit'
let recorded: TransactionDecision = 'commit'

@Injectable()
class Ledger {
  readonly name = 'ledger'
}

@TransactionListener({ producer: 'payments' })
class PaymentOutcomes implements LocalTransactions<{ amount: number }> {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  async executeLocalTransaction(
    message: OutgoingMessage,
    { amount }: { amount: number },
    prepared: PreparedMessage,
  ): Promise<TransactionDecision> {
    events.push(`${this.ledger.name} executes ${message.keys?.[0]} ${amount} ${prepared.topic}`)
    if (outcome instanceof Error) throw outcome
    return outcome
  }

  checkLocalTransaction(message: ConsumedMessage): TransactionDecision {
    events.push(`${this.ledger.name} checks ${message.keys[0]}`)
    return recorded
  }
}

@TransactionListener({ producer: 'refunds' })
class RefundOutcomes {
  checkLocalTransaction(message: ConsumedMessage): TransactionDecision {
    events.push(`refunds checks ${message.keys[0]}`)
    return 'rollback'
  }
}

const open: TestingModule[] = []

async function boot(
  producers: ProducerDefinition[] = [
    { name: 'payments', transactional: true },
    { name: 'refunds', group: 'refunders', transactional: true },
  ],
  providers: unknown[] = [Ledger, PaymentOutcomes, RefundOutcomes],
): Promise<{ broker: TestBroker; producer: (name: string) => TandemProducer }> {
  const root = TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })
  const feature = TandemModule.forFeature({ producers })
  const builder = Test.createTestingModule({ imports: [root, feature], providers: providers as [] }).setLogger(silent)
  const app = await useTestBroker(builder, { clock: 'virtual' }).compile()
  open.push(app)
  await app.init()
  Logger.overrideLogger(false)
  return { broker: app.get(TestBroker), producer: (name) => app.get(tandemProducerToken(name), { strict: false }) }
}

beforeEach(() => {
  events.length = 0
  outcome = 'commit'
  recorded = 'commit'
})

afterEach(async () => {
  for (const app of open.splice(0)) await app.close().catch(() => {})
})

const payment = { topic: 'payments', keys: ['p-1'], body: 'p-1' }

test('the local transaction of the producer runs behind the half message and decides about it', async () => {
  const { broker, producer } = await boot()
  const committed = await producer('payments').sendInTransaction(payment, { amount: 5 })
  expect([committed.outcome, events]).toEqual(['committed', ['ledger executes p-1 5 payments']])
  outcome = 'rollback'
  expect((await producer('payments').sendInTransaction(payment, { amount: 6 })).outcome).toBe('rolledBack')
  expect(broker.sent('payments').map(({ body }) => body)).toEqual(['p-1'])
})

test('a local transaction that throws is rolled back, and the caller gets its error', async () => {
  const { broker, producer } = await boot()
  outcome = new Error('no cover')
  await expect(producer('payments').sendInTransaction(payment, { amount: 5 })).rejects.toBe(outcome)
  await broker.settled()
  expect(broker.sent('payments')).toEqual([])
})

test('an unknown outcome is asked of the listener of that producer and of no other', async () => {
  const { broker, producer } = await boot()
  outcome = 'unknown'
  recorded = 'unknown'
  expect((await producer('payments').sendInTransaction(payment, { amount: 5 })).outcome).toBe('pending')
  await broker.advance(60_000)
  await expect.poll(() => events).toContain('ledger checks p-1')
  expect(broker.sent('payments')).toEqual([])
  recorded = 'commit'
  await broker.advance(120_000)
  await broker.settled()
  expect(broker.sent('payments').map(({ body }) => body)).toEqual(['p-1'])
  expect(events.filter((event) => event.startsWith('refunds'))).toEqual([])
})

test('what a process left behind is asked of another process of the group', async () => {
  outcome = 'unknown'
  recorded = 'unknown'
  const first = await boot()
  await first.producer('payments').sendInTransaction(payment, { amount: 5 })
  const root = TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })
  const feature = TandemModule.forFeature({ producers: [{ name: 'payments', transactional: true }] })
  const builder = Test.createTestingModule({ imports: [root, feature], providers: [Ledger, PaymentOutcomes] })
  const second = await useTestBroker(builder.setLogger(silent), { broker: first.broker }).compile()
  await second.init()
  recorded = 'commit'
  await first.broker.advance(60_000)
  await first.broker.settled()
  expect(first.broker.sent('payments').map(({ body }) => body)).toEqual(['p-1'])
  await second.close()
})

test('a plain message of a transactional producer leaves from another group, which nobody asks', async () => {
  const { broker, producer } = await boot()
  await producer('payments').send(payment)
  await broker.settled()
  expect(broker.sent('payments')).toHaveLength(1)
})

test('a listener without executeLocalTransaction answers checks, and cannot begin a transaction', async () => {
  const { producer } = await boot()
  const sending = producer('refunds').sendInTransaction({ topic: 'refunds', body: 'x' })
  await expect(sending).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})

@TransactionListener({ producer: 'payments' })
class Twin {
  checkLocalTransaction(): TransactionDecision {
    return 'unknown'
  }
}

class Scoped extends Twin {}
TransactionListener({ producer: 'payments' })(Scoped)
Injectable({ scope: Scope.REQUEST })(Scoped)

const transactional = [{ name: 'payments', transactional: true }]

test.each([
  ['a transactional producer without a listener', transactional, [], 'payments'],
  ['two listeners of one producer', transactional, [Ledger, PaymentOutcomes, Twin], 'PaymentOutcomes and Twin'],
  ['a listener of a producer nobody declares', [], [Twin], 'Twin'],
  ['a listener of a plain producer', [{ name: 'payments' }], [Twin], 'Twin'],
  ['a request-scoped listener', transactional, [Scoped], 'Scoped'],
])('%s fails the boot by name', async (_, producers, providers, name) => {
  await expect(boot(producers, providers)).rejects.toMatchObject({
    code: 'LISTENER_INVALID',
    message: expect.stringContaining(name),
  })
})

test('a class that is no listener of transactions does not compile', () => {
  // @ts-expect-error checkLocalTransaction is missing
  @TransactionListener({ producer: 'x' })
  class Forgetful {}
  // @ts-expect-error 'committed' is no decision
  @TransactionListener({ producer: 'x' })
  class Wrong {
    checkLocalTransaction(): string {
      return 'committed'
    }
  }
  expect([Forgetful, Wrong]).toHaveLength(2)
})
