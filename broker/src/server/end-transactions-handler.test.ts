import {
  decodeCommand,
  encodeCommand,
  encodeEnds,
  type EndEntry,
  EndResult,
  HeaderView,
  type RemotingCommand,
  TandemError,
  TandemRequestCode,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { TransactionService } from '../transaction/index.ts'
import { transactionHandlers } from './transaction-handlers.ts'

function setUp() {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const transactions = new TransactionService({ clock, log, ask: () => false })
  transactions.start()
  const handler = transactionHandlers({ transactions }).get(TandemRequestCode.END_TRANSACTIONS)
  const half = (id: string, group = 'shop'): { physicalOffset: bigint; queueOffset: bigint } => {
    const { fields, scan } = message('orders', id, { UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: group })
    transactions.appendHalf(fields, scan, group, 7)
    return { physicalOffset: BigInt(fields.physicalOffset), queueOffset: BigInt(fields.queueOffset) }
  }
  const end = (body: Buffer, flag = 0): RemotingCommand[] => {
    const answers: RemotingCommand[] = []
    const reply: Connection['reply'] = ({ opaque, serialization }, answer) =>
      void answers.push(decodeCommand(encodeCommand({ ...answer, flag: 1, opaque, serialization })))
    const frame = encodeCommand({
      ...{ code: TandemRequestCode.END_TRANSACTIONS, opaque: 7, flag },
      ...{ extFields: { producerGroup: 'shop' }, body },
    })
    const view = new HeaderView()
    view.scan(frame, 4, frame.length)
    handler?.({ isOpen: true, reply } as unknown as Connection, view)
    // The bytes belong to the next frame as soon as the call returns.
    frame.fill(0x20)
    return answers
  }
  return { log, transactions, half, end }
}

const entry = (at: Omit<EndEntry, 'decision'>, decision: number): EndEntry => ({ ...at, decision })

test('many ends are answered together, when the last of them is stored', () => {
  const { log, half, end, transactions } = setUp()
  const foreign = half('m3', 'thieves')
  const ends = [entry(half('m1'), 8), entry(half('m2'), 12), entry(foreign, 8), entry(half('m4'), 0)]
  const answers = end(encodeEnds([...ends, entry({ physicalOffset: 999_999n, queueOffset: 0n }, 8)]))
  log.flush(1)
  expect(answers).toEqual([])
  log.flush()
  const { committed, rolledBack, unknown, pending } = EndResult
  expect(answers).toHaveLength(1)
  expect(answers[0]).toMatchObject({ code: 0, opaque: 7 })
  expect([...(answers[0]?.body ?? [])]).toEqual([committed, rolledBack, unknown, pending, unknown])
  expect(log.delivered()).toEqual(['m1'])
  expect(transactions.stats()).toMatchObject({ foreignEnds: 1, unknownEnds: 1, pending: 2 })
})

test('an end whose opposite was decided before says so, a repeated one does not', () => {
  const { log, half, end } = setUp()
  const at = half('m1')
  end(encodeEnds([entry(at, 12)]))
  log.flush()
  const [answer] = end(encodeEnds([entry(at, 8), entry(at, 12)]))
  expect([...(answer?.body ?? [])]).toEqual([EndResult.rolledBack | EndResult.CONFLICT, EndResult.rolledBack])
  expect(log.delivered()).toEqual([])
})

test('with one decision that is none, nothing of the request is decided', () => {
  const { half, end, transactions } = setUp()
  const ends = [entry(half('m1'), 8), entry(half('m2'), 3)]
  expect(() => end(encodeEnds(ends))).toThrow('decision 3 of entry 1')
  expect(() => end(Buffer.alloc(18))).toThrow('FIELD_INVALID')
  expect(transactions.stats()).toMatchObject({ pending: 2, committed: 0 })
})

test('while the log takes nothing, every end is answered pending and may be repeated', () => {
  const { log, half, end, transactions } = setUp()
  const ends = encodeEnds([entry(half('m1'), 8), entry(half('m2'), 12)])
  log.refuse = new TandemError('STORE_FENCED', 'made up')
  expect([...(end(ends)[0]?.body ?? [])]).toEqual([EndResult.pending, EndResult.pending])
  log.refuse = undefined
  const answers = end(ends)
  log.flush()
  expect([...(answers[0]?.body ?? [])]).toEqual([EndResult.committed, EndResult.rolledBack])
  expect(transactions.stats().pending).toBe(0)
})

test('one-way ends are decided and not answered', () => {
  const { log, half, end } = setUp()
  const answers = end(encodeEnds([entry(half('m1'), 8), entry(half('m2'), 8)]), 2)
  log.flush()
  expect(answers).toEqual([])
  expect(log.delivered()).toEqual(['m1', 'm2'])
})
