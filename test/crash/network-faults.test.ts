import { connect, createServer, type Server, type Socket } from 'node:net'
import { startBroker } from '@tandemmq/broker'
import { MemoryDisk } from '@tandemmq/broker/simulation'
import { Admin, Producer, type ProducerOptions, PullConsumer, PushConsumer } from '@tandemmq/client'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { startFaultProxy } from '@tandemmq/testing'
import { expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { SeededRandom } from '../kit/seeded-random.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { elapse, until } from '../kit/waiting.ts'
import { encodeFrame, FrameReader, isResponse } from './frames.ts'

const SEND_MESSAGE_V2 = 310
const SEND_BATCH_MESSAGE = 320
const slowly = { timeout: 90_000 }
const patience: Partial<ProducerOptions> = { sendTimeoutMs: 30_000, retriesMax: 60, requestTimeoutMs: 1_000 }

/** The real program, reached through a fault proxy by all that follow its routes. */
async function world(set: Record<string, string | number> = {}) {
  const endings: (() => unknown)[] = []
  const close = async (): Promise<void> => {
    for (const end of endings.splice(0).toReversed()) await end()
  }
  const folder = temporaryDirectory('network-faults')
  endings.push(() => folder.remove())
  const port = await freePort()
  const proxy = await startFaultProxy(`127.0.0.1:${port}`)
  endings.push(() => proxy.close())
  const broker = tandemUp({ dataDir: `${folder.path}/data`, port, set: { advertise: proxy.address, ...set } })
  endings.push(() => broker.stop('SIGKILL'))
  await broker.ready()
  const started = async <T extends { start(): Promise<void>; close(): Promise<void> }>(client: T): Promise<T> => {
    endings.push(() => client.close())
    await client.start()
    return client
  }
  const producer = await started(new Producer({ nameServers: proxy.address, group: 'p', ...patience }))
  const consumer = (seen: string[], group = 'g'): Promise<PushConsumer> => {
    const one = new PushConsumer({ nameServers: proxy.address, group, startFrom: 'first', requestTimeoutMs: 1_000 })
    return started(one.subscribe('t', '*', (message) => void seen.push(message.text())))
  }
  return { endings, proxy, port, producer, consumer, started, [Symbol.asyncDispose]: close }
}

/** Bodies of all that is stored, in the order of each queue. */
async function stored(nameServers: string, topic: string): Promise<string[]> {
  await using reader = new PullConsumer({ nameServers, group: 'reader' })
  await reader.start()
  const found: string[] = []
  for (const queue of await reader.queues(topic)) {
    for (let offset = 0n; ; ) {
      const { messages, nextOffset, maxOffset } = await reader.pull(queue, offset, { batchMax: 256 })
      found.push(...messages.map((message) => message.text()))
      offset = nextOffset
      if (offset >= maxOffset) break
    }
  }
  return found
}
const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n))

test('F26: a link that stalls and breaks all the time loses and doubles no message', slowly, async () => {
  await using run = await world()
  const { proxy, producer } = run
  const seen: string[] = []
  await run.consumer(seen)
  const random = new SeededRandom(26)
  const link = { isBad: true }
  // What lost packets do to a stream: nothing, then everything at once, now and then the end of the connection.
  const loss = (async () => {
    while (link.isBad) {
      proxy.delay(random.next() < 0.3 ? random.between(200, 700) : 0)
      if (random.next() < 0.1) proxy.reset()
      await elapse(random.between(20, 150))
    }
    proxy.delay(0)
  })()
  const lane = async (from: number): Promise<void> => {
    for (let n = from; n < 300; n += 10) await producer.send({ topic: 't', body: String(n) })
  }
  await Promise.all(Array.from({ length: 10 }, (_, from) => lane(from)))
  link.isBad = false
  await loss
  const all = numbers(300).toSorted()
  await until(
    () => new Set(seen).size === 300,
    30_000,
    () => `${new Set(seen).size} of 300`,
  )
  expect((await stored(proxy.address, 't')).toSorted()).toEqual(all)
})

test('F28: after a partition of seconds producers and consumers go on by themselves', slowly, async () => {
  await using run = await world()
  const { proxy, producer } = run
  const seen: string[] = []
  await run.consumer(seen)
  await producer.send({ topic: 't', body: '0' })
  await until(() => seen.length === 1, 10_000)
  proxy.cut()
  const sends = numbers(20)
    .slice(1)
    .map((body) => producer.send({ topic: 't', body }))
  await elapse(6_000)
  expect(seen).toEqual(['0'])
  proxy.heal()
  await Promise.all(sends)
  await until(
    () => new Set(seen).size === 20,
    30_000,
    () => seen.join(),
  )
  expect((await stored(proxy.address, 't')).toSorted()).toEqual(numbers(20).toSorted())
})

test('F30: connections that fell silent for ever are closed by both sides, the member is dropped, and comes back', async () => {
  const clock = new VirtualClock({ seed: 30 })
  const network = new MemoryNetwork({ clock, latencyMs: 1 })
  const broker = await clock.run(
    startBroker({ clock, network, dataDir: '/data', disk: new MemoryDisk(), host: '10.0.0.1', port: 9876 }),
  )
  const common = { clock, nameServers: broker.address }
  const producer = new Producer({ ...common, network: network.host('10.0.0.2'), group: 'p' })
  const seen: string[] = []
  const consumer = new PushConsumer({ ...common, network: network.host('10.0.0.3'), group: 'g', startFrom: 'first' })
  consumer.subscribe('t', '*', (message) => void seen.push(message.text()))
  await clock.run(Promise.all([producer.start(), consumer.start()]))
  await clock.run(producer.send({ topic: 't', body: 'before' }))
  await clock.advance(31_000)
  expect(seen).toEqual(['before'])
  const open = (): number => broker.stats().connections
  const before = open()
  network.halfOpen('10.0.0.3')
  await clock.run(producer.send({ topic: 't', body: 'while it was silent' }))
  // A request that is not answered tells the client; silence of 120 s tells the broker.
  await clock.advance(180_000)
  expect(seen).toEqual(['before', 'while it was silent'])
  expect(open()).toBeLessThanOrEqual(before)
  await clock.run(Promise.all([producer.close(), consumer.close()]))
  await clock.run(broker.close())
})

test(
  'F33: requests in single bytes, cut at every boundary, or a thousand in one write are answered alike',
  slowly,
  async () => {
    await using run = await world()
    const answers = new Map<number, string>()
    const socket = connect(run.port, '127.0.0.1')
    run.endings.push(() => socket.destroy())
    socket.setNoDelay(true)
    const reader = new FrameReader(({ opaque, code, body }) => answers.set(opaque, `${code} ${body.toString('hex')}`))
    socket.on('data', (bytes: Buffer) => reader.push(bytes))
    const frame = (opaque: number): Buffer =>
      encodeFrame(
        { code: SEND_MESSAGE_V2, opaque },
        {
          ...{ a: 'p', b: 'split', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: false },
          i: `UNIQ_KEY\u0001key-${opaque}\u0002`,
        },
        Buffer.from(`body ${opaque}`),
      )
    let sent = 0
    const write = (bytes: Uint8Array): Promise<void> =>
      new Promise((resolve) => void socket.write(bytes, () => resolve()))
    for (const byte of frame(sent++)) await write(Buffer.of(byte))
    const { length } = frame(1)
    for (let cut = 1; cut < length; cut++) {
      const bytes = frame(sent++)
      await write(bytes.subarray(0, cut))
      await write(bytes.subarray(cut))
    }
    const many = Array.from({ length: 1_000 }, () => frame(sent++))
    await write(Buffer.concat(many))
    await until(
      () => answers.size === sent,
      30_000,
      () => `${answers.size} of ${sent}`,
    )
    expect(new Set(answers.values())).toEqual(new Set(['0 ']))
    expect(await stored(run.proxy.address, 'split')).toEqual(Array.from({ length: sent }, (_, n) => `body ${n}`))
  },
)

test(
  'F34: a send whose answer was lost is repeated, answered with the first place, and stored once',
  slowly,
  async () => {
    await using run = await world()
    const { proxy, producer } = run
    await producer.send({ topic: 't', body: 'first' })
    // Without a key of its own the repeat is the SDK's, within the time of the send and on the same connection.
    const plain = await run.started(new Producer({ nameServers: proxy.address, group: 'plain' }))
    const swallowed = proxy.dropReply(1, SEND_MESSAGE_V2)
    expect((await plain.send({ topic: 't', body: 'lost 0' })).duplicate).toBe(true)
    await swallowed
    const lostBatch = proxy.dropReply(1, SEND_BATCH_MESSAGE)
    const members = await plain.sendAll(['batch 0', 'batch 1'].map((body) => ({ topic: 't', body })))
    expect(members.map(({ duplicate }) => duplicate)).toEqual([true, true])
    await lostBatch
    // Nor does it matter that the connection ends with the answer in it.
    const dropped = proxy.dropReply(1, SEND_MESSAGE_V2)
    const sending = producer.send({ topic: 't', body: 'lost 1' })
    await dropped
    proxy.reset()
    expect((await sending).duplicate).toBe(true)
    // Who wants no repeats repeats the key itself.
    const hasty = await run.started(
      new Producer({ nameServers: proxy.address, group: 'hasty', sendTimeoutMs: 700, retriesMax: 0 }),
    )
    await hasty.send({ topic: 't', body: 'second' })
    const keyed = { topic: 't', body: 'lost 2', dedupKey: 'payment-42' }
    const unheard = proxy.dropReply(1, SEND_MESSAGE_V2)
    await expect(hasty.send(keyed)).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT', retryable: true })
    await unheard
    const repeated = await hasty.send(keyed)
    expect(repeated.duplicate).toBe(true)
    // The application forgot as well, and a process that never saw the first answer repeats the key.
    const other = await run.started(new Producer({ nameServers: proxy.address, group: 'q' }))
    const again = await other.send({ topic: 't', body: 'another body', dedupKey: 'payment-42' })
    expect(again).toMatchObject({ duplicate: true, queueId: repeated.queueId, queueOffset: repeated.queueOffset })
    expect((await stored(proxy.address, 't')).toSorted()).toEqual([
      ...['batch 0', 'batch 1', 'first', 'lost 0', 'lost 1', 'lost 2', 'second'],
    ])
  },
)

/** Passes requests on as they come, and answers in another order, many of them twice. */
async function shufflingProxy(target: number, random: SeededRandom): Promise<{ server: Server; address: string }> {
  const server = createServer((client: Socket) => {
    const broker = connect(target, '127.0.0.1')
    const held: Buffer[] = []
    const release = (): void => {
      const order = held.splice(0).map((bytes) => ({ bytes, at: random.next() }))
      for (const { bytes } of order.toSorted((a, b) => a.at - b.at)) {
        client.write(bytes)
        if (random.next() < 0.5) client.write(bytes)
      }
    }
    const timer = setInterval(release, 15)
    const reader = new FrameReader((frame) => {
      const { body, extFields = {}, ...head } = frame
      const bytes = encodeFrame(head, extFields, body)
      if (isResponse(frame)) held.push(bytes)
      else client.write(bytes)
    })
    client.on('data', (bytes) => broker.write(bytes))
    broker.on('data', (bytes: Buffer) => reader.push(bytes))
    for (const socket of [client, broker]) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearInterval(timer)
        client.destroy()
        broker.destroy()
      })
    }
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
  return { server, address: `127.0.0.1:${port}` }
}

test('F35: answers that come in another order and twice reach those who asked, and nobody else', slowly, async () => {
  const port = await freePort()
  using folder = temporaryDirectory('shuffled')
  const { server, address } = await shufflingProxy(port, new SeededRandom(35))
  const broker = tandemUp({ dataDir: `${folder.path}/data`, port, set: { advertise: address } })
  try {
    await broker.ready()
    await using producer = new Producer({ nameServers: address, group: 'p', ...patience })
    await producer.start()
    const receipts = await Promise.all(numbers(300).map((body) => producer.send({ topic: 't', body })))
    await using reader = new PullConsumer({ nameServers: `127.0.0.1:${port}`, group: 'reader' })
    await reader.start()
    const wrong: string[] = []
    await Promise.all(
      (await reader.queues('t')).map(async (queue) => {
        for (const [n, { queueId, queueOffset }] of receipts.entries()) {
          if (queueId !== queue.queueId) continue
          const { messages } = await reader.pull(queue, queueOffset, { batchMax: 1 })
          if (messages[0]?.text() !== String(n)) wrong.push(`${n} is not at ${queueId}/${queueOffset}`)
        }
      }),
    )
    expect(wrong).toEqual([])
    expect((await stored(address, 't')).toSorted()).toEqual(numbers(300).toSorted())
  } finally {
    await broker.stop('SIGKILL')
    server.close()
  }
})

test(
  'F37: a broker that comes back at another address is found again by those who know only the name server',
  slowly,
  async () => {
    using folder = temporaryDirectory('moved')
    const names = new ChildProgram({
      file: 'packages/cli/bin/tandem.js',
      args: ['nameserver', '--port', '0'],
      readyLine: /^TandemMQ name server ready on (\S+)\n/m,
    })
    const nameServers = await names.ready()
    const up = (port: number): ChildProgram =>
      tandemUp({ dataDir: `${folder.path}/data`, port, set: { nameServers, brokerName: 'wanderer' } })
    let broker = up(await freePort())
    try {
      const first = await broker.ready()
      const common = { nameServers, routeRefreshMs: 300, heartbeatIntervalMs: 1_000 }
      await using producer = new Producer({ ...common, group: 'p', ...patience })
      const seen: string[] = []
      await using consumer = new PushConsumer({ ...common, group: 'g', startFrom: 'first', rebalanceIntervalMs: 500 })
      consumer.subscribe('t', '*', (message) => void seen.push(message.text()))
      await producer.start()
      await consumer.start()
      await producer.send({ topic: 't', body: '0' })
      await until(() => seen.length === 1, 20_000)
      await broker.stop('SIGKILL')
      broker = up(await freePort())
      expect(await broker.ready()).not.toBe(first)
      await producer.send({ topic: 't', body: '1' })
      await until(
        () => new Set(seen).size === 2,
        30_000,
        () => seen.join(),
      )
    } finally {
      await broker.stop('SIGKILL')
      await names.stop('SIGKILL')
    }
  },
)

test(
  'F42: a handler that blocks its process beyond its lease hears of it, keeps its membership, and costs repeats only',
  slowly,
  async () => {
    using folder = temporaryDirectory('blocked')
    const broker = tandemUp({ dataDir: folder.path, port: 0, set: { channelExpiryMs: 8_000 } })
    const members: ChildProgram[] = []
    try {
      const nameServers = await broker.ready()
      const member = async (name: string, ms: number): Promise<ChildProgram> => {
        const args = [nameServers, 'g', name, String(ms)]
        const one = new ChildProgram({ file: 'test/crash/blocking-consumer.mjs', args, readyLine: /^ready$/m })
        members.push(one)
        await one.ready()
        return one
      }
      await using producer = new Producer({ nameServers, group: 'p' })
      await producer.start()
      const blocked = await member('blocked', 2_500)
      await producer.send({ topic: 'blocked', body: 'held' })
      await until(() => blocked.out.includes('begin held'), 10_000)
      const quick = await member('quick', 0)
      // Its lease is over after 1 s, so the other one gets the message while the first is still at it.
      await until(() => quick.out.includes('end held'), 15_000)
      await until(() => blocked.out.includes('end held'), 15_000)
      await using admin = new Admin({ nameServers })
      await admin.start()
      const { members: known } = await admin.consumerConnections('g')
      expect(known.map(({ clientId }) => clientId).toSorted()).toEqual(['blocked', 'quick'])
      for (const body of ['a', 'b', 'c']) await producer.send({ topic: 'blocked', body })
      const ends = (): string => blocked.out + quick.out
      await until(() => ['a', 'b', 'c'].every((id) => ends().includes(`end ${id}`)), 30_000, ends)
      // The late end of the one that blocked must not have counted, nor brought the message back.
      expect(ends().match(/^begin held$/gm)).toHaveLength(2)
    } finally {
      await Promise.all([broker, ...members].map((program) => program.stop('SIGKILL')))
    }
  },
)
