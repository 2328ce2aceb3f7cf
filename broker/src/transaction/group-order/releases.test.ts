import { SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { StoreError } from '../../store/index.ts'
import { orderOnScriptLog } from './order-test-kit.ts'

test('a long line is released in slices, while it still grows, in order', async () => {
  const { half, send, end, turn, seen, order, log } = orderOnScriptLog()
  const at = half('h', 'k')
  const sent = ['h']
  const next = (): void => {
    sent.push(`m${sent.length}`)
    send(sent.at(-1) as string, 'k')
  }
  for (let n = 0; n < 3_000; n++) next()
  await turn()
  end(at, 'commit')
  // Nobody else of this turn waits for all of it.
  expect(log.messages('orders').length).toBeLessThan(3_000)
  for (let turns = 0; order.isActive && turns < 50; turns++) {
    for (let n = 0; n < 1_000; n++) next()
    await turn()
  }
  expect([order.isActive, order.stats().held]).toEqual([false, 0])
  await turn()
  expect(seen()).toEqual(sent)
})

test('a line that is being released does not hold up another one', async () => {
  const { half, send, end, turn, seen } = orderOnScriptLog()
  const long = half('long', 'k1')
  for (let n = 0; n < 3_000; n++) send(`m${n}`, 'k1')
  await turn()
  const short = half('short', 'k2')
  send('s', 'k2')
  await turn()
  end(long, 'commit')
  end(short, 'commit')
  await turn()
  // Within two slices, not behind all the others.
  expect(seen().indexOf('s')).toBeLessThan(1_100)
  expect(seen()).toHaveLength(3_003)
})

test('a disk without room delays a release and does not disturb the end of the transaction', async () => {
  const { half, send, end, turn, seen, log, clock, order } = orderOnScriptLog()
  const at = half('h', 'k')
  send('m1', 'k')
  send('m2', 'k')
  await turn()
  const append = log.append.bind(log)
  log.append = (topic, queueId, fields, completion) => {
    if (topic === 'orders' && fields.preparedTransactionOffset > at.physicalOffset + 1)
      throw new StoreError('DISK_FULL', 'no room')
    append(topic, queueId, fields, completion)
  }
  const outcome = end(at, 'rollback')
  await clock.advance(10_000)
  expect([outcome, seen(), order.stats().held]).toEqual([['rolledBack'], [], 2])
  log.append = append
  send('m3', 'k')
  await clock.advance(10_000)
  expect(seen()).toEqual(['m1', 'm2', 'm3'])
})

test('when the disk breaks under a release nothing goes on, and the restart completes it', async () => {
  const { half, send, end, turn, seen, log } = orderOnScriptLog()
  const at = half('h', 'k')
  for (let n = 0; n < 700; n++) send(`m${n}`, 'k')
  await turn()
  end(at, 'commit')
  const appended = log.entries.length
  log.breakDisk()
  await turn()
  expect(log.entries.length).toBe(appended)
  const expected = ['h', ...Array.from({ length: 700 }, (_, n) => `m${n}`)]
  for (const records of [701, 702, 703, appended - 1, appended]) {
    const again = orderOnScriptLog({ log: log.prefix(records) })
    if (again.service.isPending(at.physicalOffset)) again.end(at, 'commit')
    for (let n = 0; n < 5; n++) await again.turn()
    expect([records, again.seen()]).toEqual([records, expected])
  }
  expect(seen().length).toBeLessThan(700)
})

test('a held record that cannot be read keeps its line in order and holds up no other one', async () => {
  const { half, send, end, turn, seen, log, clock, news } = orderOnScriptLog()
  const halves = [half('h1', 'k1'), half('h2', 'k2')]
  const { physicalOffset } = send('bad', 'k1')
  send('behind', 'k1')
  send('good', 'k2')
  await turn()
  const read = log.read.bind(log)
  log.read = (at) => {
    if (at === physicalOffset) throw new StoreError('LOG_DAMAGED', 'bytes')
    return read(at)
  }
  for (const at of halves) end(at, 'rollback')
  await clock.advance(12_000)
  expect(seen()).toEqual(['good'])
  expect(news).toContain('messages to orders stay held: [LOG_DAMAGED] bytes')
  log.read = read
  await clock.advance(6_000)
  expect(seen()).toEqual(['good', 'bad', 'behind'])
})

test('a held record that a hard limit of retention removed is counted and said, and the others go on', async () => {
  const { half, send, end, turn, seen, log, order, news } = orderOnScriptLog()
  const at = half('h', 'k')
  const { physicalOffset } = send('gone', 'k')
  send('there', 'k')
  await turn()
  const read = log.read.bind(log)
  log.read = (offset) => (offset === physicalOffset ? undefined : read(offset))
  end(at, 'rollback')
  await turn()
  expect([seen(), order.stats()]).toMatchObject([['there'], { lost: 1, released: 1, held: 0 }])
  expect(news).toHaveLength(1)
})

test('a half message that is gone when the broker starts holds nothing up', async () => {
  const { half, send, turn, log, service, order, delay } = orderOnScriptLog()
  half('h', 'k')
  send('m', 'k')
  await turn()
  log.takeCheckpoint(service, order, delay)
  const left = log.prefix(log.entries.length)
  left.entries.shift()
  const again = orderOnScriptLog({ log: left })
  await again.turn()
  expect([again.seen(), again.service.stats().pending]).toEqual([['m'], 0])
})

test('retention may not pass a held record, nor one whose copy is not safe yet', async () => {
  const { half, send, end, turn, log, order } = orderOnScriptLog()
  expect(order.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
  const first = half('a', 'k')
  const later = half('b', 'k')
  const { physicalOffset } = send('m', 'k')
  end(later, 'commit')
  await turn()
  expect(order.earliestPinned()).toBe(physicalOffset)
  end(first, 'commit')
  expect([order.isActive, order.earliestPinned()]).toEqual([false, physicalOffset])
  log.flush()
  expect(order.earliestPinned()).toBe(Number.POSITIVE_INFINITY)
})

test('a checkpoint shows who left by a record that the crash then took', async () => {
  const { half, send, end, turn, log, service, order, delay } = orderOnScriptLog()
  const at = half('h', 'k')
  send('m', 'k')
  await turn()
  const durable = log.entries.length
  end(at, 'commit')
  expect(order.isActive).toBe(false)
  log.takeCheckpoint(service, order, delay)
  const again = orderOnScriptLog({ log: log.prefix(durable) })
  expect([again.order.stats().held, again.service.stats().pending]).toEqual([1, 1])
  again.end(at, 'commit')
  await again.turn()
  expect(again.seen()).toEqual(['h', 'm'])
})

test('thousands of halves that roll back behind an undecided one leave nothing behind', async () => {
  const { half, end, turn, log, order } = orderOnScriptLog()
  half('first', 'k')
  for (let n = 0; n < 2_000; n++) end(half(`h${n}`, 'k'), 'rollback')
  await turn()
  const [line] = order.snapshot(log.durableOffset).map((part) => part.length)
  expect(line).toBeDefined()
  const bytes = order.snapshot(log.durableOffset).reduce((sum, part) => sum + part.length, 0)
  expect(bytes).toBeLessThan(200)
})

test('a group that waits for a minute is said to an operator, once in ten minutes', async () => {
  const { half, send, clock, news } = orderOnScriptLog()
  const { physicalOffset } = half('h', 'customer-7')
  send('m', 'customer-7')
  await clock.advance(59_000)
  expect(news).toEqual([])
  await clock.advance(120_000)
  expect(news).toHaveLength(1)
  expect(news[0]).toMatch(
    new RegExp(
      `^1 messages to orders with the key "customer-7" wait since \\d+ s for the half message at ${physicalOffset}, `,
    ),
  )
  await clock.advance(600_000)
  expect(news).toHaveLength(2)
})

test('records of the topic of held messages that name no destination are passed over', () => {
  const { log } = orderOnScriptLog()
  const { send } = orderOnScriptLog({ log })
  send('x', 'k', SystemTopic.HELD)
  const again = orderOnScriptLog({ log: log.prefix(1) })
  expect([again.order.isActive, again.order.stats().held]).toEqual([false, 0])
})
