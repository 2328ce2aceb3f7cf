import { expect, test } from 'vitest'
import { GroupWorld } from '../kit/group-world.ts'
import { tandem } from '../kit/program.ts'
import { elapse, until } from '../kit/waiting.ts'

test('F61: a group is rewound by time while three programs consume and messages keep coming: nothing behind the instant is left out', async () => {
  await using world = await GroupWorld.start()
  const { admin } = world
  await admin.createTopic('orders', { queues: 6 })
  const options = { group: 'billing', startFrom: 'first', subscriptions: { orders: '*' }, handlerMs: 1 } as const
  for (const name of ['a', 'b', 'c']) await world.member(name, options)
  await world.send('orders', 2_000, 'early-')
  await until(() => world.distinct === 2_000, 30_000)
  await elapse(5)
  const instant = new Date()
  await elapse(5)
  await world.send('orders', 2_000, 'late-')
  await until(() => world.distinct === 4_000, 30_000)
  // A preview counts from what is committed, which is up to a second old.
  await until(async () => (await admin.previewReset('billing', 'orders', 'last')).skipped === 0n, 10_000)

  let sent = 0
  const stopping = new AbortController()
  const sending = (async () => {
    while (!stopping.signal.aborted) {
      await world.send('orders', 20, `meanwhile-${sent++}-`)
      await elapse(10)
    }
  })()
  const shown = await tandem(
    ...['offsets', 'reset', '--group', 'billing', '--topic', 'orders', '--to', instant.toISOString()],
    ...['--dry-run', '--json', '--name-server', world.address],
  )
  const dry = JSON.parse(shown.out) as { replayed: string; oldestAt: string; reset: boolean }
  expect(dry.reset).toBe(false)
  expect(Number(dry.replayed)).toBeGreaterThanOrEqual(2_000)
  expect(Date.parse(dry.oldestAt)).toBeGreaterThanOrEqual(instant.getTime())
  const resetAt = Number(process.hrtime.bigint())
  const preview = await admin.resetOffsets('billing', 'orders', instant)
  expect(Number(preview.replayed)).toBeGreaterThanOrEqual(Number(dry.replayed))
  await elapse(300)
  stopping.abort()
  await sending

  const late = new Set(Array.from({ length: 2_000 }, (_, n) => `late-${n}`))
  const after = (): Set<string> =>
    new Set(
      world
        .handled()
        .filter(({ t }) => t > resetAt)
        .map(({ id }) => id),
    )
  await until(
    () => [...late].every((id) => after().has(id)),
    30_000,
    () => `${after().size} after the reset`,
  )
  await until(() => world.distinct === 4_000 + sent * 20, 30_000)
  // Nothing before the instant came back.
  expect([...after()].filter((id) => id.startsWith('early-'))).toEqual([])
  await until(
    async () => (await admin.progress('billing')).every((queue) => queue.committedOffset === queue.maxOffset),
    10_000,
  )
  expect((await admin.previewReset('billing', 'orders', 'last')).skipped).toBe(0n)
}, 120_000)

test('a running group is moved forward: what lies between is not delivered, what comes after is', async () => {
  await using world = await GroupWorld.start()
  const { admin } = world
  await admin.createTopic('orders', { queues: 2 })
  await world.member('a', {
    ...{ group: 'billing', startFrom: 'first', subscriptions: { orders: '*' }, handlerMs: 200 },
    ...{ concurrencyMax: 1, queueMessagesMax: 5, pullBatchMax: 5 },
  })
  await world.send('orders', 400, 'old-')
  await until(() => world.distinct >= 1, 20_000)
  await until(async () => (await admin.previewReset('billing', 'orders', 'last')).skipped > 0n, 20_000)
  const skipped = await admin.resetOffsets('billing', 'orders', 'last')
  expect(Number(skipped.skipped)).toBeGreaterThan(300)
  await world.send('orders', 4, 'new-')
  const isNew = (): string[] => world.handled().flatMap(({ id }) => (id.startsWith('new-') ? [id] : []))
  await until(() => new Set(isNew()).size === 4, 20_000)
  expect(world.distinct).toBeLessThan(100)
}, 60_000)

test('messages are found by key, by unique id, by position and by the time they were stored', async () => {
  await using world = await GroupWorld.start()
  const { admin, producer } = world
  await admin.createTopic('orders', { queues: 3 })
  const receipts = []
  for (let n = 0; n < 30; n++) {
    receipts.push(await producer.send({ topic: 'orders', body: `${n}`, keys: [`k-${n % 3}`, `only-${n}`] }))
    await elapse(2)
  }
  const [tenth] = await admin.messagesByKey('orders', 'only-10')
  expect(tenth?.text()).toBe('10')
  expect((await admin.messagesByKey('orders', 'k-1')).map((one) => one.text()).toSorted()).toHaveLength(10)
  expect((await admin.messageById(receipts[10]?.messageId ?? '', 'orders'))?.text()).toBe('10')
  expect((await admin.messageById(receipts[10]?.offsetMessageId ?? ''))?.text()).toBe('10')
  const texts = async (range: { from?: Date; to?: Date; limit?: number }): Promise<string[]> =>
    (await admin.messages({ topic: 'orders', ...range })).map((one) => one.text())
  const all = Array.from({ length: 30 }, (_, n) => `${n}`)
  expect(await texts({})).toEqual(all)
  expect(await texts({ limit: 7 })).toEqual(all.slice(0, 7))
  const from = tenth?.storedAt
  const [twentieth] = await admin.messagesByKey('orders', 'only-20')
  const to = twentieth?.storedAt
  expect(await texts({ from: from as Date, to: to as Date })).toEqual(all.slice(10, 21))
  expect(await texts({ from: from as Date, limit: 3 })).toEqual(all.slice(10, 13))
  expect(await texts({ from: new Date(Date.now() + 60_000) })).toEqual([])
  await expect(admin.messages({ topic: 'orders', limit: 0 })).rejects.toMatchObject({ code: 'INVALID_PARAMETER' })
  await expect(admin.messages({ topic: 'orders', from: new Date('never') })).rejects.toMatchObject({
    code: 'INVALID_PARAMETER',
  })
  // Looking makes no group.
  expect(await admin.groups()).not.toContain('TOOLS_CONSUMER')
  const { out } = await tandem(
    ...['messages', 'list', '--topic', 'orders', '--from', (from as Date).toISOString(), '--limit', '2'],
    ...['--json', '--name-server', world.address],
  )
  expect((JSON.parse(out) as { body: string }[]).map(({ body }) => body)).toEqual(['10', '11'])
}, 60_000)
