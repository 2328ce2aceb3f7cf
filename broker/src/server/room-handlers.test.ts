import {
  type CommandInit,
  decodeCommand,
  decodeRecord,
  encodeCommand,
  HeaderView,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SystemTopic,
  TandemError,
  TandemRequestCode,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { DelayService, recallHandle } from '../delay/index.ts'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { RetryService } from '../retry/index.ts'
import { TransactionService } from '../transaction/index.ts'
import { recallHandlers } from './recall-handlers.ts'
import { sendBackHandlers } from './send-back-handlers.ts'
import { checkTransactionRequest, transactionHandlers } from './transaction-handlers.ts'

const ONEWAY = 2

function setUp() {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const delay = new DelayService({ clock, log })
  log.delay = delay
  delay.start()
  const transactions = new TransactionService({ clock, log, ask: () => false })
  transactions.start()
  const retry = new RetryService({ clock, log, policyOf: () => ({ attemptsMax: 16 }) })
  const handlers = new Map([
    ...transactionHandlers({ transactions }),
    ...recallHandlers({ delay, brokerName: 'broker-a' }),
    ...sendBackHandlers({ retry }),
  ])
  const ask = (init: CommandInit): RemotingCommand[] => {
    const answers: RemotingCommand[] = []
    const connection = {
      isOpen: true,
      remoteAddress: '10.0.0.9',
      remotePort: 4711,
      reply: (request: { opaque: number; serialization: 0 | 1 }, answer: CommandInit) =>
        void answers.push(
          decodeCommand(
            encodeCommand({ ...answer, flag: 1, opaque: request.opaque, serialization: request.serialization }),
          ),
        ),
    }
    const frame = encodeCommand({ opaque: 77, ...init })
    const view = new HeaderView()
    view.scan(frame, 4, frame.length)
    handlers.get(init.code)?.(connection as unknown as Connection, view)
    // The bytes belong to the next frame as soon as the call returns.
    frame.fill(0x20)
    return answers
  }
  const half = (id: string) => {
    const own = { UNIQ_KEY: id, PGROUP: 'shop', TRAN_MSG: 'true', __transactionId__: `tx-${id}`, TAGS: 'created' }
    const { fields, scan } = message('orders', id, own, 3)
    transactions.appendHalf(fields, scan, 'shop', 7)
    log.flush()
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  }
  const endInit = (at: { physicalOffset: number; queueOffset: number }, commitOrRollback: number, group = 'shop') => ({
    code: RequestCode.END_TRANSACTION,
    extFields: {
      producerGroup: group,
      tranStateTableOffset: at.queueOffset,
      commitLogOffset: at.physicalOffset,
      commitOrRollback,
      fromTransactionCheck: false,
      msgId: 'm',
    },
  })
  return { clock, log, delay, transactions, ask, half, endInit }
}

test('END as a request is answered with the outcome once it is durable, one-way never', () => {
  const { ask, half, endInit, log } = setUp()
  const at = half('m1')
  const answers = ask(endInit(at, 8))
  expect(answers).toEqual([])
  log.flush()
  expect(answers[0]).toMatchObject({ code: 0, opaque: 77, extFields: { outcome: 'committed' } })
  expect(answers[0]?.extFields['conflict']).toBeUndefined()
  const late = ask(endInit(at, 12))
  expect(late[0]).toMatchObject({ code: 0, extFields: { outcome: 'committed', conflict: 'true' } })
  const silent = ask({ ...endInit(half('m2'), 12), flag: ONEWAY })
  log.flush()
  expect(silent).toEqual([])
  expect(log.delivered()).toEqual(['m1'])
})

test('END with binary headers works the same', () => {
  const { ask, half, endInit, log } = setUp()
  const answers = ask({ ...endInit(half('m1'), 12), serialization: 1 })
  log.flush()
  expect(answers[0]).toMatchObject({ serialization: 1, extFields: { outcome: 'rolledBack' } })
})

test('an undecided END as a request is answered: still pending', () => {
  const { ask, half, endInit } = setUp()
  expect(ask(endInit(half('m1'), 0))[0]).toMatchObject({ code: 0, extFields: { outcome: 'pending' } })
})

test('END for what is no half message of the group is answered 1, with a decision that is none 29 names the field', () => {
  const { ask, half, endInit } = setUp()
  const at = half('m1')
  for (const init of [endInit(at, 8, 'thieves'), endInit({ ...at, queueOffset: 5 }, 8)]) {
    expect(ask(init)[0]).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, extFields: { outcome: 'unknown' } })
  }
  expect(() => ask(endInit(at, 7))).toThrow('commitOrRollback')
  expect(() => ask({ code: RequestCode.END_TRANSACTION, extFields: { producerGroup: 'shop' } })).toThrow(
    'FIELD_MISSING',
  )
})

test('when the store broke, END is answered with an error, not with an outcome', () => {
  const { ask, half, endInit, log } = setUp()
  const answers = ask(endInit(half('m1'), 8))
  log.breakDisk()
  expect(answers[0]).toMatchObject({ code: ResponseCode.SERVICE_NOT_AVAILABLE, extFields: { outcome: 'pending' } })
})

test('open transactions can be asked for and listed', () => {
  const { ask, half } = setUp()
  const at = half('m1')
  half('m2')
  const body = (value: unknown) => Buffer.from(JSON.stringify(value))
  const parsed = (answers: RemotingCommand[]): unknown => JSON.parse(answers[0]?.body.toString() ?? '')
  const pending = { code: TandemRequestCode.PENDING_TRANSACTIONS, body: body({ transactionIds: ['tx-m1', 'x'] }) }
  expect(parsed(ask(pending))).toEqual({ pending: ['tx-m1'] })
  const list = { code: TandemRequestCode.LIST_TRANSACTIONS, extFields: { limit: 1 } }
  expect(parsed(ask(list))).toMatchObject({
    total: 2,
    transactions: [{ ...at, transactionId: 'tx-m1', group: 'shop' }],
  })
})

test.each([
  [TandemRequestCode.PENDING_TRANSACTIONS, '{"transactionIds":"tx"}'],
  [TandemRequestCode.PENDING_TRANSACTIONS, '{"transactionIds":[1]}'],
  [TandemRequestCode.PENDING_TRANSACTIONS, ''],
  [TandemRequestCode.PENDING_TRANSACTIONS, 'null'],
])('%i with the body %s is refused', (code, text) => {
  const { ask } = setUp()
  expect(() => ask({ code, body: Buffer.from(text) })).toThrow(TandemError)
})

test('a check-back carries the message as the producer knows it, with the offsets END must repeat', () => {
  const { half, transactions, log } = setUp()
  half('m0')
  const at = half('m1')
  const record = log.read(at.physicalOffset) as Buffer
  const pending = transactions.list()[1]
  expect(pending).toMatchObject(at)
  const asked = { ...at, topic: 'orders', asked: 2 } as unknown as Parameters<typeof checkTransactionRequest>[0]
  const init = checkTransactionRequest(asked, record, 'broker-a')
  expect(init).toMatchObject({
    code: RequestCode.CHECK_TRANSACTION_STATE,
    extFields: {
      topic: 'orders',
      tranStateTableOffset: at.queueOffset,
      commitLogOffset: at.physicalOffset,
      msgId: 'm1',
      transactionId: 'tx-m1',
      bname: 'broker-a',
    },
  })
  const carried = decodeRecord(Buffer.from(init.body ?? []))
  expect(carried).toMatchObject({
    topic: 'orders',
    queueId: 3,
    queueOffset: BigInt(at.queueOffset),
    physicalOffset: BigInt(at.physicalOffset),
    offsetMessageId: init.extFields?.['offsetMsgId'],
  })
  expect({ ...carried.properties }).toEqual({
    UNIQ_KEY: 'm1',
    PGROUP: 'shop',
    TRAN_MSG: 'true',
    __transactionId__: 'tx-m1',
    TAGS: 'created',
    TRANSACTION_CHECK_TIMES: '3',
  })
})

test('a recall is answered with the truth', async () => {
  const { ask, delay, log, clock } = setUp()
  const { fields } = message('orders', 'm1', { UNIQ_KEY: 'k1', TIMER_DELAY_MS: '1000' })
  const deliverAt = clock.now() + 1_000
  delay.append(fields, deliverAt)
  log.flush()
  const recall = (key: string, topic = 'orders', broker = 'broker-a') =>
    ask({
      code: RequestCode.RECALL_MESSAGE,
      extFields: { topic: 'orders', recallHandle: recallHandle(topic, broker, deliverAt, key) },
    })
  const answers = recall('k1')
  expect(answers).toEqual([])
  log.flush()
  expect(answers[0]).toMatchObject({ code: 0, extFields: { msgId: 'k1', outcome: 'cancelled' } })
  expect(recall('k2')[0]).toMatchObject({ code: ResponseCode.ILLEGAL_OPERATION, extFields: { outcome: 'unknown' } })
  expect(() => recall('k1', 'stock')).toThrow('ILLEGAL_OPERATION')
  expect(() => recall('k1', 'orders', 'broker-b')).toThrow('broker-b')
  const nonsense = { code: RequestCode.RECALL_MESSAGE, extFields: { topic: 'orders', recallHandle: '???' } }
  expect(() => ask(nonsense)).toThrow('ILLEGAL_OPERATION')
  await clock.advance(5_000)
  expect(log.delivered()).toEqual([])
})

test('a send-back is answered when it is stored, or with what went wrong', () => {
  const { ask, log } = setUp()
  log.append('orders', 0, message('orders', 'm1', { UNIQ_KEY: 'm1' }).fields)
  const back = (extFields: Record<string, string | number>) =>
    ask({ code: RequestCode.CONSUMER_SEND_MSG_BACK, extFields: { group: 'billing', delayLevel: 0, ...extFields } })
  const answers = back({ offset: 0, delayMs: 500, reason: 'busy' })
  expect(answers).toEqual([])
  log.flush()
  expect(answers[0]).toMatchObject({ code: 0, opaque: 77 })
  expect(log.messages(SystemTopic.TIMER)[0]?.properties['TIMER_DELAY_MS']).toBe('500')
  expect(back({ offset: 1_099_511_627_776 })[0]).toMatchObject({
    code: ResponseCode.SYSTEM_ERROR,
    remark: '[SYSTEM_ERROR] look message by offset failed, 1099511627776',
  })
  expect(() => back({ offset: 0, group: 'no/group' })).toThrow('GROUP_NAME_INVALID')
  expect(() => ask({ code: RequestCode.CONSUMER_SEND_MSG_BACK, extFields: { group: 'b' } })).toThrow('offset')
})
