import { PropertyName } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { FaultDisk } from '../../store/fault-disk.ts'
import { groupConfigOf } from '../group-config.ts'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { LeaseTable } from './lease-table.ts'
import { Pops } from './lease-test-kit.ts'

const DEAD = '%DLQ%billing'
const LEASE_MS = 5_000
const modes = [
  ['at will', {}],
  ['in order', { order: true }],
  ['by key', { order: true, orderByKey: true }],
] as const

let pops: Pops
afterEach(() => pops.rooms.close())

/** A group that gives a message `retryMaxTimes` deliveries after the first one. */
async function started(retryMaxTimes: number, disk?: FaultDisk): Promise<void> {
  pops = await Pops.start(disk === undefined ? {} : { disk })
  pops.rooms.groups.configure(groupConfigOf({ groupName: 'billing', retryMaxTimes }))
}

async function send(body: string): Promise<void> {
  pops.rooms.append('orders', 0, { body, uniqueKey: body, properties: { [PropertyName.SHARDING_KEY]: 'k' } })
  await pops.rooms.settle()
}

/** A consumer takes the message and is never heard of again. */
async function takenByTheDead(mode: Record<string, boolean>, begun = false): Promise<string> {
  const { bodies, fields, receipts } = await pops.pop({ ...mode, marksBegin: true, invisibleTime: LEASE_MS })
  expect(bodies).toEqual(['m'])
  if (begun) await pops.hide(receipts[0]!, LEASE_MS, { begun: true })
  await ended()
  return fields['orderCountInfo'] ?? ''
}

async function ended(): Promise<void> {
  await pops.rooms.clock.advance(LEASE_MS + 1)
  await pops.rooms.settle()
}

test.each(modes)(
  'a message taken %s that no handler ever saw is no dead letter, however often its lease ends',
  async (_name, mode) => {
    await started(0)
    await send('m')
    for (let n = 0; n < 4; n++) await takenByTheDead(mode)
    expect(pops.bodiesOf(DEAD)).toEqual([])
    await takenByTheDead(mode, true)
    // Of what comes in order the next pop decides.
    expect((await pops.pop(mode)).bodies).toEqual([])
    await pops.rooms.settle()
    expect(pops.messagesOf(DEAD)).toMatchObject([{ reconsumeTimes: 2 }])
  },
)

test.each([
  ['without a word says so, and so do the copies after it', false, 'true'],
  ['after its handler began and failed says nothing', true, undefined],
])('the copy of a message whose first lease ended %s', async (_what, begun, mark) => {
  await started(1)
  await send('m')
  await takenByTheDead({}, begun)
  for (const isDead of [false, true]) {
    const { messages, receipts } = await pops.pop({ marksBegin: true, invisibleTime: LEASE_MS })
    expect(messages[0]?.properties[PropertyName.FIRST_UNSEEN]).toBe(mark)
    await pops.hide(receipts[0]!, 1, isDead ? { begun: true } : {})
    await ended()
  }
  expect(pops.messagesOf(DEAD)).toHaveLength(1)
  expect(pops.messagesOf(DEAD)[0]?.properties).not.toHaveProperty(PropertyName.FIRST_UNSEEN)
})

test.each(modes)('of deliveries %s the first one counts, and of the others those that began', async (_name, mode) => {
  await started(2)
  await send('m')
  for (const begun of [false, false, true, false]) await takenByTheDead(mode, begun)
  expect(pops.bodiesOf(DEAD)).toEqual([])
  await takenByTheDead(mode, true)
  expect((await pops.pop(mode)).bodies).toEqual([])
  await pops.rooms.settle()
  expect(pops.messagesOf(DEAD)).toMatchObject([{ reconsumeTimes: 3 }])
})

test.each(modes)('what a consumer that does not tell when it begins takes %s counts', async (_name, mode) => {
  await started(0)
  await send('m')
  await pops.pop({ ...mode, invisibleTime: LEASE_MS })
  await ended()
  expect((await pops.pop(mode)).bodies).toEqual([])
  await pops.rooms.settle()
  expect(pops.bodiesOf(DEAD)).toEqual(['m'])
})

test.each(modes)(
  'a restart of the broker makes no failed delivery of what was taken %s and not begun',
  async (_name, mode) => {
    await started(0, new FaultDisk({ seed: 1 }))
    await send('m')
    for (let n = 0; n < 3; n++) {
      const { bodies, receipts } = await pops.pop({ ...mode, marksBegin: true, invisibleTime: LEASE_MS })
      expect(bodies).toEqual(['m'])
      // A consumer that keeps its lease has not begun for that.
      if (n > 0) await pops.hide(receipts[0]!, LEASE_MS)
      await pops.rooms.settle()
      pops = await pops.restarted('killed', 100)
      await ended()
    }
    expect(pops.bodiesOf(DEAD)).toEqual([])
    const { receipts } = await pops.pop({ ...mode, marksBegin: true, invisibleTime: LEASE_MS })
    await pops.hide(receipts[0]!, LEASE_MS, { begun: true })
    await pops.rooms.settle()
    pops = await pops.restarted('killed', 100)
    await ended()
    expect((await pops.pop(mode)).bodies).toEqual([])
    await pops.rooms.settle()
    expect(pops.bodiesOf(DEAD)).toEqual(['m'])
  },
)

test.each(modes.flatMap(([name, mode]) => (['killed', 'powerCut'] as const).map((how) => [name, how, mode] as const)))(
  'a message taken %s that kills its consumer each time has its attempts and no more, though the broker is %s each time too',
  async (_name, how, mode) => {
    await started(2, new FaultDisk({ seed: 1 }))
    await send('m')
    for (const begun of [false, true, true]) {
      const { bodies, receipts } = await pops.pop({ ...mode, marksBegin: true, invisibleTime: LEASE_MS })
      expect(bodies).toEqual(['m'])
      if (begun) await pops.hide(receipts[0]!, LEASE_MS, { begun: true })
      // What a power cut takes is younger.
      await pops.rooms.settle(1_500)
      pops = await pops.restarted(how, 100)
      await ended()
    }
    expect((await pops.pop(mode)).bodies).toEqual([])
    await pops.rooms.settle()
    expect(pops.messagesOf(DEAD)).toMatchObject([{ reconsumeTimes: 3 }])
  },
)

test('a dead letter names the message the producer sent', async () => {
  await started(0)
  await send('first')
  await send('m')
  const { messages, receipts } = await pops.pop({ marksBegin: true, invisibleTime: LEASE_MS })
  await pops.ack(receipts[0]!)
  await ended()
  await takenByTheDead({}, true)
  expect(pops.messagesOf(DEAD)[0]?.properties[PropertyName.DLQ_ORIGIN_MESSAGE_ID]).toBe(messages[1]?.offsetMessageId)
  expect(pops.messagesOf(DEAD)[0]?.properties).toMatchObject({
    DLQ_ORIGIN_TOPIC: 'orders',
    DLQ_ORIGIN_QUEUE_OFFSET: '1',
  })
})

test.each(['killed', 'powerCut'] as const)(
  'the attempts of a message by key survive a broker that was %s',
  async (how) => {
    const mode = modes[2][1]
    await started(5, new FaultDisk({ seed: 1 }))
    await send('m')
    await takenByTheDead(mode)
    expect(await takenByTheDead(mode)).toBe('0 qo0%0 1;0 0 1')
    expect(await takenByTheDead(mode, true)).toBe('0 qo0%0 1;0 0 1')
    const { receipts, fields } = await pops.pop({ ...mode, marksBegin: true, invisibleTime: LEASE_MS })
    expect(fields['orderCountInfo']).toBe('0 qo0%0 2;0 0 2')
    await pops.hide(receipts[0]!, LEASE_MS, { begun: true })
    await pops.rooms.settle(1_500)
    pops = await pops.restarted(how, 100)
    await ended()
    expect(await takenByTheDead(mode)).toBe('0 qo0%0 3;0 0 3')
  },
)

test('a delivery counts once, also when the journal is written anew before the message is taken again', async () => {
  const mode = modes[2][1]
  await started(5, new FaultDisk({ seed: 1 }))
  await send('m')
  await takenByTheDead(mode, true)
  const { config } = pops.rooms.groups.require('billing')
  const generation = () => (pops.rooms.disk as FaultDisk).list('data/journal').join()
  const before = generation()
  for (let n = 0; n < 200; n++) {
    pops.rooms.groups.configure({ ...config, groupSysFlag: n, note: 'x'.repeat(8_192) } as typeof config)
    await pops.rooms.settle(20)
  }
  expect(generation()).not.toBe(before)
  pops = await pops.restarted('killed', 100)
  await ended()
  expect(await takenByTheDead(mode)).toBe('0 qo0%0 1;0 0 1')
})

test('a snapshot of the leases says the same of them as the entries it replaces', () => {
  const open = (entries: Iterable<unknown>) => {
    let snapshot: () => Iterable<unknown> = () => []
    const journal = {
      register(_table: string, owner: { apply(entry: unknown): void; snapshot(): Iterable<unknown> }) {
        for (const entry of entries) owner.apply(entry)
        snapshot = () => owner.snapshot()
      },
      append() {},
      appendDurable: () => Promise.resolve(),
      commit() {},
    }
    const table = new LeaseTable({ clock: new VirtualClock({ seed: 1 }), journal })
    return { queue: table.find('billing', 'orders', 0), snapshot: [...snapshot()] }
  }
  const order = [
    7,
    1_000,
    '',
    [
      [20, 0, 0, 9_000, 1],
      [21, 2, 1, 9_000],
    ],
  ]
  const first = open([
    { queue: [1, 'billing', 'orders', 0, 10] },
    {
      id: 1,
      next: 20,
      steps: [
        ['offered', 5, 1_000, 998, 10, 2],
        ['deliveries', 12, 4],
        ['taken', 6, 0, 998, 15],
      ],
    },
    {
      id: 1,
      next: 20,
      steps: [
        ['changed', 10, 8, 2_000, 998],
        ['changed', 12, 9, 2_000, 998, 1],
        ['order', order],
      ],
    },
  ])
  const second = open(first.snapshot)
  expect(
    [...(first.queue?.leases ?? [])].map(({ offset, isCounted, deliveries, wasOut }) => [
      offset,
      isCounted,
      deliveries,
      wasOut,
    ]),
  ).toEqual([
    [10, true, 0, true],
    [12, false, 4, true],
    [15, true, 0, false],
  ])
  expect([...(second.queue?.leases ?? [])]).toEqual(
    [...(first.queue?.leases ?? [])].map((lease) => ({ ...lease, queue: second.queue })),
  )
  expect(second.snapshot).toEqual(first.snapshot)
  expect(
    first.queue?.order?.json((at) => at, 0)[3].map(([offset, count, , , marks]) => [offset, count, marks]),
  ).toEqual([
    [20, 0, 1],
    [21, 2, undefined],
  ])
})
