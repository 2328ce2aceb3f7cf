import { type CheckAnswer, TandemError } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { type CheckPeer, type HalfMessage, TransactionService } from './index.ts'

interface Asked {
  readonly connectionId: number
  readonly ids: readonly string[]
  answer(answers: readonly CheckAnswer[]): void
  fail(code: 'CONNECTION_CLOSED' | 'REQUEST_TIMEOUT'): void
}

/** A service whose clients 1, 2, ... take check-backs of the domain in batches and are asked in turn. */
function setUp(clients = 1) {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const asked: Asked[] = []
  const single: HalfMessage[] = []
  const world = { online: new Set(Array.from({ length: clients }, (_, n) => n + 1)) }
  const peers = Array.from({ length: clients }, (_, n): CheckPeer => {
    const connectionId = n + 1
    return {
      connectionId,
      domain: 'db1',
      check: (ids) =>
        new Promise((resolve, reject) =>
          asked.push({
            connectionId,
            ids,
            answer: (answers) => resolve([...answers]),
            fail: (code) => reject(new TandemError(code, 'made up')),
          }),
        ),
    }
  })
  const service = new TransactionService({
    clock,
    log,
    ask: (half) => {
      if (half.domain !== undefined) return false
      single.push(half)
      return true
    },
    peerOf: (half) => {
      const able = peers.filter(({ connectionId }) => world.online.has(connectionId))
      const willing = able.filter(({ connectionId }) => !service.isSilent(connectionId))
      const choice = willing.length > 0 ? willing : able
      return half.domain === undefined ? undefined : choice[half.asked % choice.length]
    },
  })
  service.start()
  const half = (id: string, properties: Record<string, string> = {}) => {
    const own = { UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: 'shop', TANDEM_DOMAIN: 'db1', ...properties }
    const { fields, scan } = message('orders', id, own)
    service.appendHalf(fields, scan, 'shop', 7)
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  }
  const end = (at: ReturnType<typeof half>, decision: 'commit' | 'rollback'): void => {
    service.end({ group: 'shop', ...at, decision, fromCheck: false }, () => {})
    log.flush()
  }
  const settle = async (): Promise<void> => {
    await clock.settle()
    log.flush()
    await clock.settle()
  }
  return { clock, log, asked, single, world, service, half, end, settle }
}

const fill = (answer: CheckAnswer, ids: readonly string[]): CheckAnswer[] => ids.map(() => answer)

test('halves that are due together travel in one request, one id per transaction, and one answer settles them', async () => {
  const { clock, asked, half, service, settle, log } = setUp()
  for (const id of ['a1', 'a2', 'a3']) half(id, { __transactionId__: 'tx-a' })
  half('b1', { __transactionId__: 'tx-b' })
  half('c1')
  await clock.advance(6_000)
  expect(asked.map(({ ids }) => ids)).toEqual([['tx-a', 'tx-b', 'c1']])
  asked[0]?.answer(['commit', 'rollback', 'unknown'])
  await settle()
  expect(log.delivered()).toEqual(['a1', 'a2', 'a3'])
  expect(service.stats()).toMatchObject({ pending: 1, committed: 3, rolledBack: 1, checksSent: 5, checksAnswered: 5 })
  expect(service.stats()).toMatchObject({ checkRequests: 1, conflicts: 0, repeatedEnds: 0 })
})

test('a client is asked about 500 ids in a request and has four requests before it: the others wait their turn', async () => {
  const { clock, asked, half, service, settle } = setUp()
  for (let n = 0; n < 3_000; n++) half(`m${n}`)
  await clock.advance(6_000)
  expect(asked.map(({ ids }) => ids.length)).toEqual([500, 500, 500, 500])
  await clock.advance(5_000)
  expect(asked).toHaveLength(4)
  asked[1]?.answer(fill('rollback', asked[1].ids))
  await settle()
  expect(asked).toHaveLength(5)
  expect(asked[4]?.ids[0]).toBe('m2000')
  for (const one of asked) one.answer(fill('rollback', one.ids))
  await settle()
  for (const one of asked) one.answer(fill('rollback', one.ids))
  await settle()
  expect(service.stats()).toMatchObject({ pending: 0, rolledBack: 3_000, checkRequests: 6 })
})

test('"not mine" and "unknown" count as answers, and the next client is asked after 1, 2, 5, 10, 30 s', async () => {
  const { clock, asked, half, service, settle } = setUp(2)
  half('m1')
  await clock.advance(6_000)
  const gone: number[] = []
  for (const answer of ['notMine', 'unknown', 'notMine', 'unknown', 'notMine'] as const) {
    const before = asked.length
    asked.at(-1)?.answer([answer])
    await settle()
    const since = clock.monotonic()
    while (asked.length === before) await clock.advance(500)
    gone.push(clock.monotonic() - since)
  }
  expect(gone).toEqual([1_000, 2_000, 5_000, 10_000, 30_000])
  expect(asked.map(({ connectionId }) => connectionId)).toEqual([1, 2, 1, 2, 1, 2])
  expect(service.list()[0]).toMatchObject({ asked: 6, attempts: 5, state: 'pending' })
  expect(service.stats()).toMatchObject({ checksNotMine: 3, checksUnanswered: 0 })
})

test('when a connection breaks, all that was asked through it and waited for it is asked of the next client at once', async () => {
  const { clock, asked, half, service, world } = setUp(2)
  for (let n = 0; n < 2_500; n++) half(`m${n}`)
  await clock.advance(6_000)
  expect(asked.map(({ connectionId }) => connectionId)).toEqual([1, 1, 1, 1])
  world.online.delete(1)
  const before = clock.monotonic()
  for (const one of asked.slice()) one.fail('CONNECTION_CLOSED')
  await clock.settle()
  await clock.advance(0)
  expect(asked.slice(4).map(({ connectionId, ids }) => [connectionId, ids.length])).toEqual(
    Array.from({ length: 4 }, () => [2, 500]),
  )
  expect(clock.monotonic()).toBe(before)
  expect(service.list(1)[0]).toMatchObject({ attempts: 0 })
  expect(service.stats()).toMatchObject({ checksAnswered: 0, checksUnanswered: 2_000 })
})

test('a client that does not answer is passed over while there is another, and probed with one request when there is none', async () => {
  const { clock, asked, half, service, world, settle } = setUp(2)
  world.online.delete(2)
  for (let n = 0; n < 1_500; n++) half(`m${n}`)
  await clock.advance(6_000)
  expect(asked).toHaveLength(3)
  for (const one of asked.slice()) one.fail('REQUEST_TIMEOUT')
  await clock.advance(1_000)
  expect(asked.slice(3).map(({ connectionId }) => connectionId)).toEqual([1])
  expect(service.isSilent(1)).toBe(true)
  world.online.add(2)
  asked[3]?.fail('REQUEST_TIMEOUT')
  await clock.advance(0)
  expect(asked.slice(4).map(({ connectionId }) => connectionId)).toEqual([2, 2])
  for (const one of asked.slice(4)) one.answer(fill('commit', one.ids))
  await settle()
  expect(service.stats()).toMatchObject({ committed: 1_000, pending: 500 })
})

test('an END that arrives while the client is being asked wins; the same answer is a repeat, the opposite a conflict', async () => {
  const { clock, asked, half, end, service, settle, log } = setUp()
  const halves = ['m1', 'm2', 'm3'].map((id) => half(id))
  await clock.advance(6_000)
  end(halves[0]!, 'commit')
  end(halves[1]!, 'commit')
  end(halves[2]!, 'rollback')
  asked[0]?.answer(['commit', 'rollback', 'commit'])
  await settle()
  expect(log.delivered()).toEqual(['m1', 'm2'])
  expect(service.stats()).toMatchObject({ committed: 2, rolledBack: 1, pending: 0 })
  expect(service.stats()).toMatchObject({ repeatedEnds: 1, conflicts: 2, commitsAfterRollback: 1 })
})

test('a half that is decided while it waits in line is not asked about', async () => {
  const { clock, asked, half, end, service, settle } = setUp()
  const halves = Array.from({ length: 2_003 }, (_, n) => half(`m${n}`))
  await clock.advance(6_000)
  end(halves[2_001]!, 'commit')
  asked[0]?.answer(fill('rollback', asked[0].ids))
  await settle()
  expect(asked[4]?.ids).toEqual(['m2000', 'm2002'])
  expect(service.list().filter(({ transactionId }) => transactionId === 'm2001')).toEqual([])
})

test('while the log takes nothing an answer settles nothing and is asked for again', async () => {
  const { clock, asked, half, service, settle, log } = setUp()
  half('m1')
  await clock.advance(6_000)
  log.refuse = new TandemError('STORE_FENCED', 'made up')
  asked[0]?.answer(['commit'])
  await settle()
  expect(service.stats()).toMatchObject({ pending: 1, committed: 0 })
  log.refuse = undefined
  await clock.advance(1_000)
  expect(asked).toHaveLength(2)
  asked[1]?.answer(['commit'])
  await settle()
  expect(log.delivered()).toEqual(['m1'])
})

test('a record that is not what was stored is not asked about, because another transaction would be decided', async () => {
  const { clock, asked, half, service, log } = setUp()
  half('m1')
  const readInto = log.readInto.bind(log)
  log.readInto = (physicalOffset, size, target, at) => {
    const read = readInto(physicalOffset, size, target, at)
    const key = target.indexOf('UNIQ_KEY\x01m1')
    target[key + 10] = 0x32
    return read
  }
  await clock.advance(6_000)
  expect(asked).toEqual([])
  expect(service.stats()).toMatchObject({ checksUnanswerable: 1, checksSent: 0, pending: 1 })
})

test('halves without a domain go one by one, as before', async () => {
  const { clock, asked, single, half } = setUp()
  half('m1', { TANDEM_DOMAIN: '' })
  half('m2')
  await clock.advance(6_000)
  expect(single).toHaveLength(1)
  expect(asked.map(({ ids }) => ids)).toEqual([['m2']])
})

test('nobody is there for an hour: nothing counts, nothing is given up, and one request settles all when somebody comes', async () => {
  const { clock, asked, half, service, world, settle } = setUp()
  world.online.clear()
  for (let n = 0; n < 300; n++) half(`m${n}`)
  await clock.advance(3_600_000)
  expect(asked).toEqual([])
  expect(service.stats()).toMatchObject({ pending: 300, checksSent: 0, checksAnswered: 0 })
  expect(service.list(1)[0]).toMatchObject({ asked: 0, attempts: 0, ageMs: 3_600_000 })
  world.online.add(1)
  service.producerOnline({ domain: 'db1' })
  await clock.advance(0)
  expect(asked.map(({ ids }) => ids.length)).toEqual([300])
  asked[0]?.answer(fill('commit', asked[0].ids))
  await settle()
  expect(service.stats()).toMatchObject({ pending: 0, committed: 300 })
})

test('age and immunity count from the time the broker stored the half message, whatever its client calls born', async () => {
  const { clock, asked, half, service } = setUp()
  half('m1', { CHECK_IMMUNITY_TIME_IN_SECONDS: '20' })
  half('m2')
  await clock.advance(5_999)
  expect(asked).toEqual([])
  await clock.advance(1)
  expect(asked.map(({ ids }) => ids)).toEqual([['m2']])
  await clock.advance(13_999)
  expect(asked.flatMap(({ ids }) => ids)).not.toContain('m1')
  await clock.advance(1)
  expect(asked.at(-1)?.ids).toEqual(['m1'])
  expect(service.list().map(({ ageMs }) => ageMs)).toEqual([20_000, 20_000])
})
