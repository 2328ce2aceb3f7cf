import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, recordOf, type World, world } from '../../../../test/kit/fake-broker.ts'
import { TransactionProducer } from './transaction-producer.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

async function started(check: () => Promise<'commit'>): Promise<TransactionProducer> {
  const producer = new TransactionProducer({ ...w, nameServers: fake.address, group: 'p', check })
  await w.clock.run(producer.start())
  return producer
}

const ask = (group: string): void => {
  for (const connection of fake.connections) {
    connection.oneway({
      code: RequestCode.CHECK_TRANSACTION_STATE,
      extFields: { tranStateTableOffset: 7, commitLogOffset: 1_007, msgId: 'id-7', transactionId: 'id-7', bname: 'b' },
      body: recordOf({ topic: 't', queueOffset: 7, properties: { PGROUP: group, TRAN_MSG: 'true' } }),
    })
  }
}

test('a half message is marked as one and carries its transaction id and immunity', async () => {
  const producer = await started(async () => 'commit')
  const prepared = await w.clock.run(
    producer.prepare({ topic: 't', body: 'x' }, { transactionId: 'tx-1', immunityMs: 1_500 }),
  )
  const [half] = fake.asked(RequestCode.SEND_MESSAGE_V2)
  expect(half?.extFields['f']).toBe('4')
  expect(half?.extFields['i']?.split('\u0002')).toEqual(
    expect.arrayContaining([
      'TRAN_MSG\u0001true',
      'PGROUP\u0001p',
      '__transactionId__\u0001tx-1',
      'CHECK_IMMUNITY_TIME_IN_SECONDS\u00012',
    ]),
  )
  expect(prepared).toMatchObject({ transactionId: 'tx-1', queueOffset: 5n, physicalOffset: 42n, brokerName: 'b' })
})

test('a stock broker that answers an end without the outcome is believed', async () => {
  fake.on(RequestCode.END_TRANSACTION, () => ({ code: 0, remark: 'not set any response code' }))
  const producer = await started(async () => 'commit')
  const prepared = await w.clock.run(producer.prepare({ topic: 't', body: 'x' }))
  expect(await w.clock.run(producer.end(prepared, 'commit'))).toBe('committed')
  expect(await w.clock.run(producer.end(prepared, 'rollback'))).toBe('rolledBack')
  expect(fake.asked(RequestCode.END_TRANSACTION).map((request) => request.extFields['commitOrRollback'])).toEqual([
    '8',
    '12',
  ])
})

test('a stock broker cannot tell what is pending, and that is an error, not an empty list', async () => {
  fake.on(9101, () => ({ code: 3, remark: ' request type 9101 not supported' }))
  const producer = await started(async () => 'commit')
  await expect(w.clock.run(producer.pendingOf(['a']))).rejects.toMatchObject({ code: 'REQUEST_NOT_SUPPORTED' })
})

test('pendingOf rejects when one of two brokers does not answer', async () => {
  const silent = new FakeBroker(w, 'silent', 9877)
  await w.clock.run(silent.start())
  fake.routes = { b: fake.address, silent: silent.address }
  fake.on(9101, () => ({ code: 0, body: Buffer.from('{"pending":[]}') }))
  const producer = await started(async () => 'commit')
  await expect(w.clock.run(producer.pendingOf(['a']))).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
})

test('a check is answered one-way with the offsets it came with, and only for the own group', async () => {
  await started(async () => 'commit')
  ask('other')
  ask('p')
  await w.clock.advance(50)
  const ends = fake.asked(RequestCode.END_TRANSACTION)
  expect(ends).toHaveLength(1)
  expect(ends[0]?.flag).toBe(2)
  expect(ends[0]?.extFields).toMatchObject({
    producerGroup: 'p',
    tranStateTableOffset: '7',
    commitLogOffset: '1007',
    commitOrRollback: '8',
    fromTransactionCheck: 'true',
    msgId: 'id-7',
  })
})

test('a check that throws is answered unknown, so that the broker asks again', async () => {
  await started(async () => {
    throw new Error('database down')
  })
  ask('p')
  await w.clock.advance(50)
  expect(fake.asked(RequestCode.END_TRANSACTION).map((request) => request.extFields['commitOrRollback'])).toEqual(['0'])
})

test('an end that cannot be delivered is pending, because the check-back will settle it', async () => {
  fake.on(RequestCode.END_TRANSACTION, () => undefined)
  const producer = await started(async () => 'commit')
  const sent = await w.clock.run(producer.sendInTransaction({ topic: 't', body: 'x' }, () => 'commit'))
  expect(sent.outcome).toBe('pending')
})
