import { Admin, Producer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// Broker, producer and each member of a group in a process of its own, real sockets between them.
let nameServers: string
let producer: Producer
const running = new Running()

beforeEach(async () => {
  const broker = tandemUp({ dataDir: running.directory('several-processes'), port: 0 })
  await running.program(broker)
  nameServers = await broker.ready()
  producer = await running.client(new Producer({ nameServers, group: 'p' }))
})

function member(group: string, clientId: string, options: object = {}): Promise<ChildProgram> {
  const args = [JSON.stringify({ nameServers, group, clientId, topic: 'orders', ...options })]
  return running.program(new ChildProgram({ file: 'test/system/member.mjs', args, readyLine: /^ready$/m }))
}

const got = (...members: ChildProgram[]): string[] =>
  members.flatMap(({ out }) => [...out.matchAll(/^got (.*)$/gm)].map(([, body = '']) => body))

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `${from + n}`)
// One by one: a batch goes to one queue.
const send = (bodies: readonly string[]) => Promise.all(bodies.map((body) => producer.send({ topic: 'orders', body })))
const slowly = { timeout: 90_000 }

test(
  'clustering and lease groups share their messages, each member of a broadcasting group gets all, side by side',
  slowly,
  async () => {
    const admin = await running.client(new Admin({ nameServers }))
    await admin.createTopic('orders', { queues: 4 })
    const members = await Promise.all([
      ...['a', 'b'].map((name) => member('billing', `billing-${name}`)),
      ...['a', 'b'].map((name) => member('stock', `stock-${name}`, { mode: 'lease', invisibleMs: 2_000, workMs: 5 })),
      ...['a', 'b'].map((name) => member('screens', `screens-${name}`, { mode: 'broadcasting' })),
    ])
    const [billingA, billingB, stockA, stockB, screenA, screenB] = members as [
      ...[ChildProgram, ChildProgram, ChildProgram, ChildProgram, ChildProgram, ChildProgram],
    ]
    // Both are known before the first message: nothing moves while they share.
    await until(async () => (await admin.consumerConnections('billing')).members.length === 2, 20_000)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    const all = numbers(0, 400).toSorted()
    await send(all)
    for (const group of [[billingA, billingB], [stockA, stockB], [screenA], [screenB]]) {
      await until(
        () => new Set(got(...group)).size === 400,
        30_000,
        () => `${new Set(got(...group)).size} of 400`,
      )
    }
    expect(got(billingA, billingB).toSorted()).toEqual(all)
    expect(got(stockA, stockB).toSorted()).toEqual(all)
    expect(got(screenA).toSorted()).toEqual(all)
    for (const one of [billingA, billingB, stockA, stockB]) expect(got(one).length).toBeGreaterThan(0)

    // One of each is killed: the others of the group take over, nobody else notices.
    await Promise.all([billingA, stockA].map((one) => one.stop('SIGKILL')))
    const later = numbers(400, 500)
    await send(later)
    for (const one of [billingB, stockB, screenA, screenB]) {
      await until(
        () => later.every((body) => got(one).includes(body)),
        30_000,
        () => got(one).slice(-20).join(),
      )
    }
    expect(got(screenA, screenB)).toHaveLength(1_000)
  },
)

test('groups that filter by tag and by SQL get theirs and count as done with the rest', slowly, async () => {
  const [tagged, compared, all] = await Promise.all([
    member('by-tag', 't', { filter: { tags: ['created', 'paid'] } }),
    member('by-sql', 's', { filter: { sql: "amount > 50 AND region IN ('eu', 'uk')" } }),
    member('everything', 'e'),
  ])
  const messages = Array.from({ length: 120 }, (_, n) => ({
    topic: 'orders',
    body: `${n}`,
    tag: ['created', 'paid', 'closed'][n % 3] as string,
    properties: { amount: String(n), region: ['eu', 'us', 'uk', 'jp'][n % 4] as string },
  }))
  await producer.sendAll(messages)
  const bodies = (isMine: (n: number) => boolean): string[] => numbers(0, 120).filter((_, n) => isMine(n))
  const wanted = [
    [tagged, bodies((n) => n % 3 !== 2)],
    [compared, bodies((n) => n > 50 && n % 2 === 0)],
    [all, numbers(0, 120)],
  ] as const
  for (const [one, expected] of wanted) {
    await until(
      () => got(one).length >= expected.length,
      20_000,
      () => got(one).join(),
    )
  }
  const admin = await running.client(new Admin({ nameServers }))
  // What a filter leaves out is no backlog.
  for (const group of ['by-tag', 'by-sql', 'everything']) {
    const lag = async (): Promise<number> => {
      const progress = await admin.progress(group)
      return progress
        .filter(({ topic }) => topic === 'orders')
        .reduce((sum, { committedOffset, maxOffset }) => sum + Number(maxOffset - (committedOffset ?? 0n)), 0)
    }
    await until(
      async () => (await lag()) === 0,
      20_000,
      () => group,
    )
  }
  for (const [one, expected] of wanted) expect(got(one).toSorted()).toEqual(expected.toSorted())
})

test(
  'a slow member keeps few messages in memory and holds up neither another group nor its producer',
  slowly,
  async () => {
    const slow = await member('slow', 'slow', {
      queueMessagesMax: 20,
      totalMessagesMax: 50,
      workMs: 40,
      pullBatchMax: 10,
    })
    const fast = await member('fast', 'fast')
    const bodies = numbers(0, 3_000).map((n) => n.padStart(2_000, '.'))
    await send(bodies)
    await until(
      () => got(fast).length >= 3_000,
      30_000,
      () => `${got(fast).length}`,
    )
    await until(() => got(slow).length > 100, 30_000)
    expect(got(slow).length).toBeLessThan(3_000)
    const cached = [...slow.out.matchAll(/^cached (\d+)$/gm)].map(([, n]) => Number(n))
    expect(Math.max(...cached)).toBeGreaterThan(10)
    // A limit is looked at before a pull, so the answer of one pull per queue may come on top.
    expect(Math.max(...cached)).toBeLessThanOrEqual(50 + 4 * 10)
    expect(await slow.stop('SIGTERM')).toBe('0')
  },
)

test(
  'requests are answered by processes elsewhere, each by its own answer; without one of them by the other',
  slowly,
  async () => {
    const repliers = await Promise.all(
      ['x', 'y'].map((name) => member('stock', name, { topic: 'stock-level', replies: true })),
    )
    const ask = (n: number, timeoutMs = 10_000) =>
      producer.request({ topic: 'stock-level', body: { n } }, { timeoutMs })
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => ask(n)))
    const told = answers.map((answer) => answer.json<{ by: string; to: number }>())
    expect(told.map(({ to }) => to)).toEqual(Array.from({ length: 60 }, (_, n) => n))
    await repliers[0]?.stop('SIGTERM')
    const again = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(100 + n)))
    expect(new Set(again.map((answer) => answer.json<{ by: string }>().by))).toEqual(new Set(['y']))
    await repliers[1]?.stop('SIGTERM')
    await expect(ask(999, 800)).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  },
)
