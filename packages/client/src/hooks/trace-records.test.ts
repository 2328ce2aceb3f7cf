import { expect, test } from 'vitest'
import {
  endTransactionRecord,
  pubRecord,
  recallRecord,
  subAfterRecord,
  subBeforeRecord,
  TraceConsumeCode,
  TraceMessageType,
} from './trace-records.ts'

const fields = (record: string): string[] => {
  expect(record.endsWith('\u0002')).toBe(true)
  return record.slice(0, -1).split('\u0001')
}

test('a Pub record has the fourteen fields of the Java encoder in its order', () => {
  const record = pubRecord({
    at: 1_700_000_000_000,
    region: 'DefaultRegion',
    group: 'p',
    topic: 'orders',
    messageId: 'ID1',
    tags: 'created',
    keys: 'o-1 o-2',
    storeHost: '10.0.0.1:10911',
    bodyBytes: 12,
    costMs: 3.6,
    messageType: TraceMessageType.delayed,
    offsetMessageId: 'OFF1',
    succeeded: true,
  })
  const head = ['Pub', '1700000000000', 'DefaultRegion', 'p', 'orders', 'ID1', 'created', 'o-1 o-2']
  expect(fields(record)).toEqual([...head, '10.0.0.1:10911', '12', '4', '3', 'OFF1', 'true'])
})

test('what is not there is spelled null, because readers drop empty fields at the end', () => {
  const trace = { at: 1, region: 'r', group: 'g', requestId: 'R', messageId: 'ID1', retryTimes: 2, keys: '' }
  expect(fields(subBeforeRecord(trace))).toEqual(['SubBefore', '1', 'r', 'g', 'R', 'ID1', '2', 'null'])
  expect(fields(subAfterRecord(trace, 7.4, false, TraceConsumeCode.exception))).toEqual([
    'SubAfter',
    'R',
    'ID1',
    '7',
    'false',
    'null',
    '2',
    '1',
    'g',
  ])
})

test('the end of a transaction and a cancellation have the fields of the Java encoder', () => {
  const end = { at: 1, region: 'r', group: 'g', topic: 't', messageId: 'ID1', tags: undefined, keys: undefined }
  const record = endTransactionRecord({
    ...end,
    storeHost: 'h:1',
    transactionId: 'T',
    state: 'ROLLBACK_MESSAGE',
    fromCheck: true,
  })
  const head = ['EndTransaction', '1', 'r', 'g', 't', 'ID1', 'null', 'null', 'h:1']
  expect(fields(record)).toEqual([...head, '2', 'T', 'ROLLBACK_MESSAGE', 'true'])
  expect(fields(recallRecord(1, 'r', 'g', 't', 'ID1', false))).toEqual(['Recall', '1', 'r', 'g', 't', 'ID1', 'false'])
})
