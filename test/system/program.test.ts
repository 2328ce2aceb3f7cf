import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  Admin,
  Producer,
  PushConsumer,
  type PushConsumerOptions,
  ReconsumeLater,
  RejectMessage,
} from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { tandem, UpProgram } from '../kit/program.ts'
import { readTopic } from '../kit/read-topic.ts'
import { Running } from '../kit/running.ts'

// Broker in a process of its own, clients here, real sockets and files between them.
let directory: string
const running = new Running()

beforeEach(() => {
  directory = running.directory('up')
})

async function up(...argv: string[]): Promise<UpProgram> {
  const broker = await UpProgram.start(directory, ...argv)
  running.atEnd(() => broker.stop('SIGKILL'))
  return broker
}

/** The same directory and port after an orderly end or a crash. */
async function again(broker: UpProgram, signal: NodeJS.Signals, ...argv: string[]): Promise<UpProgram> {
  await broker.stop(signal)
  return up('--port', `${broker.port}`, ...argv)
}

const producerOf = (broker: UpProgram): Promise<Producer> =>
  running.client(new Producer({ nameServers: broker.address, group: 'p', sendTimeoutMs: 10_000 }))
const adminOf = (broker: UpProgram): Promise<Admin> => running.client(new Admin({ nameServers: broker.address }))

function consumerOf(broker: UpProgram, options: Partial<PushConsumerOptions> = {}): PushConsumer {
  const consumer = new PushConsumer({ nameServers: broker.address, group: 'g', startFrom: 'first', ...options })
  running.atEnd(() => consumer.close())
  return consumer
}

const slowly = { timeout: 15_000 }

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends a broker with clients at work: exit code 0, nothing to say',
  async (signal) => {
    const broker = await up()
    const producer = await producerOf(broker)
    await producer.send({ topic: 'orders', body: '1' })
    const seen: string[] = []
    const consumer = consumerOf(broker)
    consumer.subscribe('orders', '*', (message) => void seen.push(message.text()))
    await consumer.start()
    await expect.poll(() => seen).toEqual(['1'])
    // The consumer's pulls wait at the broker now.
    const begun = performance.now()
    expect(await broker.stop(signal)).toEqual({ code: 0, out: `TandemMQ ready on ${broker.address}\n`, err: '' })
    expect(performance.now() - begun).toBeLessThan(8_000)
  },
)

test('a second process on the directory is refused while the first serves, and taken when that was killed', async () => {
  const broker = await up()
  const producer = await producerOf(broker)
  const refused = await tandem('up', '--port', '0', '--data-dir', directory)
  expect(refused).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringMatching(/^tandem: \[DIRECTORY_LOCKED\] [^\n]+\n$/),
  })
  await producer.send({ topic: 'orders', body: 'still there' })
  await broker.stop('SIGKILL')
  const next = await up()
  expect((await readTopic(next.address, 'orders', 1))[0]?.text()).toBe('still there')
})

test.each(['SIGTERM', 'SIGKILL'] as const)('messages, offsets, topics and groups survive %s', async (signal) => {
  let broker = await up()
  const producer = await producerOf(broker)
  let admin = await adminOf(broker)
  await admin.createTopic('made', { queues: 3 })
  const receipts = await producer.sendAll(Array.from({ length: 60 }, (_, n) => ({ topic: 'orders', body: `${n}` })))
  const seen: string[] = []
  const first = consumerOf(broker)
  first.subscribe('orders', '*', (message) => void seen.push(message.text()))
  await first.start()
  await expect.poll(() => seen.length).toBe(60)
  await first.close()
  // Offsets reach the disk within 100 ms of the commit.
  if (signal === 'SIGKILL') await new Promise((resolve) => setTimeout(resolve, 300))
  const before = {
    topics: await admin.topics(),
    queues: (await admin.queues('made')).length,
    groups: await admin.groups(),
  }
  broker = await again(broker, signal)
  admin = await adminOf(broker)
  expect({
    topics: await admin.topics(),
    queues: (await admin.queues('made')).length,
    groups: await admin.groups(),
  }).toEqual(before)
  const places = (list: readonly { queueId: number; queueOffset: bigint; messageId: string }[]): string[] =>
    list.map(({ queueId, queueOffset, messageId }) => `${queueId} ${queueOffset} ${messageId}`).toSorted()
  expect(places(await readTopic(broker.address, 'orders', 60))).toEqual(places(receipts))
  const later: string[] = []
  const second = consumerOf(broker)
  second.subscribe('orders', '*', (message) => void later.push(message.text()))
  await second.start()
  await expect
    .poll(() =>
      producer.send({ topic: 'orders', body: 'new' }).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true)
  await expect.poll(() => later.length, slowly).toBeGreaterThan(0)
  expect(new Set(later)).toEqual(new Set(['new']))
})

test('--set reaches the broker: no auto-creation, a small message limit, its name', async () => {
  const settings = ['autoCreateTopic=false', 'messageBytesMax=1000', 'flush=async', 'brokerName=b-7', 'dedupWindowMs=0']
  const broker = await up(...settings.flatMap((setting) => ['--set', setting]))
  const producer = await producerOf(broker)
  await expect(producer.send({ topic: 'unknown', body: 'x' })).rejects.toMatchObject({
    code: expect.stringMatching(/^(TOPIC_NOT_EXIST|ROUTE_NOT_FOUND)$/),
  })
  const admin = await adminOf(broker)
  await admin.createTopic('made', { queues: 1 })
  await expect(producer.send({ topic: 'made', body: 'x'.repeat(1_001) })).rejects.toMatchObject({
    code: 'MESSAGE_TOO_LARGE',
  })
  const receipt = await producer.send({ topic: 'made', body: 'x'.repeat(1_000), dedupKey: 'k' })
  expect(receipt).toMatchObject({ brokerName: 'b-7', queueOffset: 0n, duplicate: false })
  expect(await producer.send({ topic: 'made', body: 'x', dedupKey: 'k' })).toMatchObject({
    queueOffset: 1n,
    duplicate: false,
  })
})

test('tags, ordered and broadcasting groups each get what they asked for from one topic', async () => {
  const broker = await up()
  const producer = await producerOf(broker)
  const seen: Record<string, string[]> = { paid: [], ordered: [], all: [], a: [], b: [] }
  const subscribe = (name: string, options: Partial<PushConsumerOptions>, tags?: string[]): Promise<void> => {
    const consumer = consumerOf(broker, { group: name, ...options })
    consumer.subscribe('mixed', tags === undefined ? '*' : { tags }, (message) => void seen[name]?.push(message.text()))
    return consumer.start()
  }
  await producer.send({ topic: 'mixed', tag: 'first', body: 'first', orderBy: 'c' })
  await Promise.all([
    subscribe('paid', {}, ['paid', 'refunded']),
    subscribe('ordered', { ordered: true }),
    subscribe('all', {}),
    subscribe('a', { group: 'news', mode: 'broadcasting', clientId: 'a' }),
    subscribe('b', { group: 'news', mode: 'broadcasting', clientId: 'b' }),
  ])
  const tags = ['created', 'paid', 'refunded']
  const bodies = Array.from({ length: 60 }, (_, n) => `${tags[n % 3]} ${n}`)
  await Promise.all(
    bodies.map((body) => producer.send({ topic: 'mixed', tag: body.split(' ')[0], body, orderBy: 'c' })),
  )
  const everything = ['first', ...bodies]
  await expect.poll(() => Object.values(seen).map((list) => list.length), slowly).toEqual([40, 61, 61, 61, 61])
  expect(seen['ordered']).toEqual(everything)
  expect(seen['paid']?.toSorted()).toEqual(bodies.filter((body) => !body.startsWith('created')).toSorted())
  for (const name of ['all', 'a', 'b']) expect(seen[name]?.toSorted()).toEqual(everything.toSorted())
})

test('a delayed message is never early, by level, by milliseconds, by date, also over a restart', async () => {
  let broker = await up()
  const producer = await producerOf(broker)
  const due: Record<string, number> = {}
  const send = async (body: string, delayMs: number, how: object): Promise<void> => {
    due[body] = Date.now() + delayMs
    await producer.send({ topic: 'timers', body, ...how })
  }
  await send('level 1', 1_000, { delayLevel: 1 })
  await send('150 ms', 150, { delayMs: 150 })
  await send('date', 400, { deliverAt: new Date(Date.now() + 400) })
  await send('over the restart', 2_000, { delayMs: 2_000 })
  await send('due while it was down', 900, { delayMs: 900 })
  const arrived: Record<string, number[]> = {}
  const consumer = consumerOf(broker)
  consumer.subscribe('timers', '*', (message) => void (arrived[message.text()] ??= []).push(Date.now()))
  await consumer.start()
  await expect.poll(() => Object.keys(arrived).length, slowly).toBeGreaterThanOrEqual(2)
  broker = await again(broker, 'SIGKILL')
  await expect.poll(() => Object.keys(arrived).length, slowly).toBe(5)
  for (const [body, times] of Object.entries(arrived)) {
    expect(times[0], body).toBeGreaterThanOrEqual(due[body] ?? Number.NaN)
  }
})

test('a failing message comes back after each growing delay, then is a dead letter with its last reason', async () => {
  const broker = await up()
  const producer = await producerOf(broker)
  const receipt = await producer.send({
    topic: 'orders',
    tag: 't',
    keys: 'k-1',
    body: 'poison',
    properties: { region: 'eu' },
  })
  await producer.send({ topic: 'orders', body: 'rejected' })
  const delays = [50, 100, 200]
  const times: number[] = []
  const attempts: number[] = []
  const consumer = consumerOf(broker, { attemptsMax: delays.length + 1 })
  consumer.subscribe('orders', '*', (message) => {
    if (message.text() === 'rejected') throw new RejectMessage('no amount')
    times.push(Date.now())
    attempts.push(message.attempt)
    throw new ReconsumeLater({ delayMs: delays[message.attempt - 1] ?? 0 }, `failure ${message.attempt}`)
  })
  await consumer.start()
  await expect.poll(() => readTopic(broker.address, '%DLQ%g', 2).catch(() => []), slowly).toHaveLength(2)
  expect(attempts).toEqual([1, 2, 3, 4])
  for (const [n, delay] of delays.entries()) expect((times[n + 1] ?? 0) - (times[n] ?? 0)).toBeGreaterThanOrEqual(delay)
  const dead = Object.fromEntries(
    (await readTopic(broker.address, '%DLQ%g', 2)).map((message) => [message.text(), message]),
  )
  expect(dead['poison']).toMatchObject({ messageId: receipt.messageId, tag: 't', keys: ['k-1'] })
  expect(dead['poison']?.properties).toMatchObject({
    DLQ_REASON: 'failure 4',
    DLQ_ORIGIN_TOPIC: 'orders',
    region: 'eu',
  })
  expect(dead['rejected']?.properties).toMatchObject({ DLQ_REASON: 'no amount', DLQ_ORIGIN_TOPIC: 'orders' })
})

test('an ordered group keeps its order over a crash of the broker: repeats perhaps, never a gap', async () => {
  let broker = await up()
  const producer = await producerOf(broker)
  const seen: number[] = []
  const consumer = consumerOf(broker, { ordered: true, commitIntervalMs: 100 })
  consumer.subscribe('ordered', '*', (message) => void seen.push(Number(message.text())))
  const send = (n: number) =>
    producer.send({ topic: 'ordered', body: `${n}`, orderBy: 'c' }, { timeoutMs: 15_000, retriesMax: 50 })
  for (let n = 0; n < 20; n++) await send(n)
  await consumer.start()
  await expect.poll(() => seen.length).toBe(20)
  const sending = (async () => {
    for (let n = 20; n < 60; n++) await send(n)
  })()
  broker = await again(broker, 'SIGKILL')
  await sending
  await expect.poll(() => seen.at(-1), slowly).toBe(59)
  const firstTimes = seen.filter((n, at) => seen.indexOf(n) === at)
  expect(firstTimes).toEqual(Array.from({ length: 60 }, (_, n) => n))
})

test('a request is answered by a consumer elsewhere, many at a time, each its own answer', async () => {
  const broker = await up()
  const producer = await producerOf(broker)
  const responder = await producerOf(broker)
  const consumer = consumerOf(broker, { group: 'stock' })
  consumer.subscribe('stock_level', '*', (message) =>
    responder.reply(message, { level: message.json<{ n: number }>().n * 2 }),
  )
  await producer.send({ topic: 'stock_level', body: { n: 0 }, tag: 'warm-up' }).catch(() => undefined)
  await consumer.start()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      producer.request({ topic: 'stock_level', body: { n } }, { timeoutMs: 10_000 }),
    ),
  )
  expect(answers.map((answer) => answer.json<{ level: number }>().level)).toEqual(
    Array.from({ length: 20 }, (_, n) => n * 2),
  )
})

test('the producer process dies without ending its transactions: another process of the group is asked and decides', async () => {
  const broker = await up('--set', 'transactionTimeoutMs=300', '--set', 'transactionCheckIntervalMs=500')
  const script = fileURLToPath(new URL('../kit/transaction-process.mjs', import.meta.url))
  const run = (...argv: string[]) => {
    const child = spawn(process.execPath, [script, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'close')
    running.atEnd(() => {
      child.kill('SIGKILL')
      return ended
    })
    const printed: string[] = []
    child.stdout.on('data', (bytes) => printed.push(...String(bytes).trim().split('\n')))
    return { child, ended, printed }
  }
  const sender = run('prepare', broker.address, '6')
  await expect.poll(() => sender.printed, slowly).toContain('prepared')
  sender.child.kill('SIGKILL')
  await sender.ended
  const seen: string[] = []
  const consumer = consumerOf(broker)
  consumer.subscribe('payments', '*', (message) => void seen.push(message.text()))
  await consumer.start()
  const checker = run('check', broker.address)
  await expect.poll(() => seen.length, slowly).toBe(3)
  const admin = await adminOf(broker)
  await expect.poll(() => admin.transactions(), slowly).toEqual([])
  expect(seen.toSorted()).toEqual(['payment 0', 'payment 2', 'payment 4'])
  expect(new Set(checker.printed.filter((line) => line.startsWith('p-')))).toEqual(
    new Set(['p-0 commit', 'p-1 rollback', 'p-2 commit', 'p-3 rollback', 'p-4 commit', 'p-5 rollback']),
  )
})

test.each(['SIGTERM', 'SIGKILL'] as const)(
  'a repeat is recognised after %s, by message id and by dedup key',
  async (signal) => {
    let broker = await up()
    const producer = await producerOf(broker)
    const byKey = await producer.send({ topic: 'payments', body: 'x', dedupKey: 'payment-42' })
    const byId = await producer.send({ topic: 'payments', body: 'y' })
    broker = await again(broker, signal)
    const next = await producerOf(broker)
    expect(await next.send({ topic: 'payments', body: 'x', dedupKey: 'payment-42' })).toEqual({
      ...byKey,
      duplicate: true,
    })
    expect(await next.send({ topic: 'payments', body: 'y', messageId: byId.messageId })).toEqual({
      ...byId,
      duplicate: true,
    })
    // The same keys in another topic are other messages.
    expect(await next.send({ topic: 'refunds', body: 'x', dedupKey: 'payment-42' })).toMatchObject({ duplicate: false })
    expect((await readTopic(broker.address, 'payments', 2)).map((message) => message.text()).toSorted()).toEqual([
      'x',
      'y',
    ])
  },
)

test('a group is rewound to a moment, to the beginning and to the end, while running and while stopped', async () => {
  const broker = await up()
  const producer = await producerOf(broker)
  const admin = await adminOf(broker)
  for (let n = 0; n < 8; n++) await producer.send({ topic: 'orders', body: `old ${n}` })
  await new Promise((resolve) => setTimeout(resolve, 30))
  const moment = new Date()
  await new Promise((resolve) => setTimeout(resolve, 30))
  for (let n = 0; n < 4; n++) await producer.send({ topic: 'orders', body: `new ${n}` })
  let seen: string[] = []
  const run = async (): Promise<PushConsumer> => {
    const consumer = consumerOf(broker, { commitIntervalMs: 50 })
    consumer.subscribe('orders', '*', (message) => void seen.push(message.text()))
    await consumer.start()
    return consumer
  }
  const first = await run()
  await expect.poll(() => seen.length, slowly).toBe(12)
  seen = []
  await admin.resetOffset('g', 'orders', moment)
  await expect.poll(() => seen.toSorted(), slowly).toEqual(['new 0', 'new 1', 'new 2', 'new 3'])
  await first.close()
  seen = []
  await admin.resetOffset('g', 'orders', 'first')
  const second = await run()
  await expect.poll(() => seen.length, slowly).toBe(12)
  await second.close()
  await admin.resetOffset('g', 'orders', 'first')
  await admin.resetOffset('g', 'orders', 'last')
  seen = []
  await run()
  await producer.send({ topic: 'orders', body: 'newest' })
  await expect.poll(() => seen, slowly).toEqual(['newest'])
})
