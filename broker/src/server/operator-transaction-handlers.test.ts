import {
  type CommandInit,
  decodeCommand,
  encodeCommand,
  HeaderView,
  type RemotingCommand,
  TandemError,
  TandemRequestCode,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { OperatorDecisions, TransactionService } from '../transaction/index.ts'
import { operatorTransactionHandlers } from './operator-transaction-handlers.ts'

/** A journal whose entries reach the disk when the test says so. */
class SlowJournal {
  readonly entries: unknown[] = []
  refuse: Error | undefined
  #waiting: (() => void)[] = []
  #apply: (entry: unknown) => void = () => {}

  constructor(entries: readonly unknown[] = []) {
    this.entries.push(...entries)
  }

  register(_table: string, owner: { apply(entry: unknown): void }): void {
    this.#apply = owner.apply
    for (const entry of this.entries) this.#apply(structuredClone(entry))
  }

  appendDurable(_table: string, entry: unknown): Promise<void> {
    if (this.refuse !== undefined) return Promise.reject(this.refuse)
    return new Promise((resolve) =>
      this.#waiting.push(() => {
        this.entries.push(structuredClone(entry))
        resolve()
      }),
    )
  }

  commit(): void {}

  flush(): void {
    for (const stored of this.#waiting.splice(0)) stored()
  }
}

function setUp(journal = new SlowJournal()) {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const transactions = new TransactionService({ clock, log, ask: () => false })
  transactions.start()
  const audit: string[] = []
  const decisions = new OperatorDecisions({ journal })
  const handlers = operatorTransactionHandlers({ clock, transactions, decisions, audit: (line) => audit.push(line) })
  const ask = (init: CommandInit): RemotingCommand[] => {
    const answers: RemotingCommand[] = []
    const connection = {
      ...{ isOpen: true, remoteAddress: '10.0.0.9', remotePort: 4711 },
      reply: (request: { opaque: number; serialization: 0 | 1 }, answer: CommandInit) =>
        void answers.push(decodeCommand(encodeCommand({ ...answer, flag: 1, ...request }))),
    }
    const frame = encodeCommand({ opaque: 77, ...init })
    const view = new HeaderView()
    view.scan(frame, 4, frame.length)
    handlers.get(init.code)?.(connection as unknown as Connection, view)
    frame.fill(0x20)
    return answers
  }
  const half = (id: string): number => {
    const own = { UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: 'shop', KEYS: `k-${id}`, TANDEM_DOMAIN: 'db1' }
    const { fields, scan } = message('orders', id, own)
    transactions.appendHalf(fields, scan, 'shop', 7)
    return fields.physicalOffset
  }
  const resolve = (body: object | string): RemotingCommand[] => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return ask({ code: TandemRequestCode.RESOLVE_TRANSACTION, body: Buffer.from(text) })
  }
  const listed = (limit?: number): Record<string, unknown>[] => {
    const extFields = limit === undefined ? {} : { limit }
    const [answer] = ask({ code: TandemRequestCode.LIST_RESOLVED_TRANSACTIONS, extFields })
    return JSON.parse(answer?.body.toString() ?? '').resolved
  }
  const settle = async (): Promise<void> => {
    for (let n = 0; n < 5; n++) {
      journal.flush()
      log.flush()
      await clock.settle()
    }
  }
  return { clock, log, journal, transactions, audit, half, resolve, listed, settle }
}

const who = { by: 'mara', reason: 'paid by phone' }

test('a decision by hand is written down before the half message is touched, and listed with its outcome', async () => {
  const { clock, half, resolve, listed, settle, transactions, log, audit } = setUp()
  const physicalOffset = half('m1')
  const answers = resolve({ physicalOffset, decision: 'commit', ...who })
  log.flush()
  await clock.settle()
  expect(transactions.stats()).toMatchObject({ pending: 1, committed: 0 })
  await settle()
  expect(JSON.parse(answers[0]?.body.toString() ?? '')).toEqual({ outcome: 'committed' })
  expect(log.delivered()).toEqual(['m1'])
  expect(listed()).toEqual([
    {
      ...{ id: 1, at: 1_700_000_000_000, decision: 'commit', outcome: 'committed', client: '10.0.0.9:4711', ...who },
      ...{ physicalOffset, group: 'shop', topic: 'orders', transactionId: 'm1', messageId: 'm1', keys: 'k-m1' },
      domain: 'db1',
    },
  ])
  expect(audit).toEqual([
    `mara (10.0.0.9:4711) resolved the half message at ${physicalOffset}: commit, now committed: paid by phone`,
  ])
})

test('a decision that cannot be written down is not taken', async () => {
  const { half, resolve, settle, transactions, journal, audit } = setUp()
  const physicalOffset = half('m1')
  journal.refuse = new TandemError('STORE_FENCED', 'made up')
  const answers = resolve({ physicalOffset, decision: 'commit' })
  await settle()
  expect(answers[0]?.code).not.toBe(0)
  expect(transactions.stats()).toMatchObject({ pending: 1, committed: 0 })
  expect(audit).toEqual([])
})

test('the opposite of what holds, and what is no half message, are written down with what they came to', async () => {
  const { half, resolve, listed, settle } = setUp()
  const physicalOffset = half('m1')
  for (const [at, decision] of [
    [physicalOffset, 'rollback'],
    [physicalOffset, 'commit'],
    [999_999, 'commit'],
  ] as const) {
    resolve({ physicalOffset: at, decision })
    await settle()
  }
  expect(listed().map(({ decision, outcome, by }) => [decision, outcome, by])).toEqual([
    ['commit', 'unknown', ''],
    ['commit', 'rolledBack', ''],
    ['rollback', 'rolledBack', ''],
  ])
  expect(listed(1)).toHaveLength(1)
})

test('after a restart the lines are there; one whose outcome was not written shows what the half message is now', async () => {
  const first = setUp()
  const physicalOffset = first.half('m1')
  first.resolve({ physicalOffset, decision: 'commit', ...who })
  await first.settle()
  const [line] = first.journal.entries as object[]
  const second = setUp(new SlowJournal([line]))
  second.half('m1')
  expect(second.listed()).toMatchObject([{ id: 1, ...who, outcome: 'pending' }])
  second.resolve({ physicalOffset, decision: 'rollback' })
  await second.settle()
  expect(second.listed()).toMatchObject([
    { id: 2, outcome: 'rolledBack' },
    { id: 1, outcome: 'rolledBack' },
  ])
})

test('the last 10,000 are kept, and a number is never used again', async () => {
  const lines = Array.from({ length: 10_003 }, (_, n) => ({ id: n + 50, decision: 'commit', outcome: 'committed' }))
  const { listed, resolve, settle } = setUp(new SlowJournal(lines))
  expect(listed(20_000)).toHaveLength(10_000)
  expect(listed(1)).toMatchObject([{ id: 10_052 }])
  resolve({ physicalOffset: 1, decision: 'commit' })
  await settle()
  expect(listed(1)).toMatchObject([{ id: 10_053, outcome: 'unknown' }])
})

test.each([
  ['{"physicalOffset":-1,"decision":"commit"}'],
  ['{"physicalOffset":0,"decision":"maybe"}'],
  ['{"physicalOffset":0,"decision":"commit","by":7}'],
  [`{"physicalOffset":0,"decision":"commit","by":"${'x'.repeat(201)}"}`],
  [`{"physicalOffset":0,"decision":"commit","reason":"${'x'.repeat(1_001)}"}`],
  ['7'],
  ['{'],
])('a decision with the body %s is refused', (text) => {
  const { resolve, listed } = setUp()
  expect(() => resolve(text)).toThrow(TandemError)
  expect(listed()).toEqual([])
})
