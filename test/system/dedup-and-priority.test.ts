import { Admin, type ConsumedMessage, Producer, PushConsumer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { dedupWindowViolations } from '../crash/dedup-window.ts'
import { ChildProgram } from '../kit/child-program.ts'
import { tandem, UpProgram } from '../kit/program.ts'
import { readTopic } from '../kit/read-topic.ts'
import { Running } from '../kit/running.ts'

// Broker and senders in processes of their own.
let directory: string
const running = new Running()

beforeEach(() => {
  directory = running.directory('keyed')
})

async function up(...argv: string[]): Promise<UpProgram> {
  const broker = await UpProgram.start(directory, ...argv)
  running.atEnd(() => broker.stop('SIGKILL'))
  return broker
}

interface Answer {
  n: number
  place: string
  duplicate: boolean
}

/** A sender in a process of its own. */
class Sender {
  readonly #program: ChildProgram

  constructor(...args: (string | number)[]) {
    this.#program = new ChildProgram({ file: 'test/system/keyed-sender.mjs', args: args.map(String) })
    running.atEnd(() => this.#program.stop('SIGKILL'))
  }

  get lines(): string[] {
    return this.#program.out.split('\n').slice(0, -1)
  }

  get answers(): Answer[] {
    return this.lines.filter((line) => line !== 'done').map((line) => JSON.parse(line) as Answer)
  }

  async done(): Promise<Answer[]> {
    await expect.poll(() => [this.lines.at(-1), this.#program.err], { timeout: 90_000 }).toEqual(['done', ''])
    return this.answers
  }
}

const KEYS = 1_500

test('three processes send the same keys through kills of the broker: each key is stored once, each answer names that place', async () => {
  const settings = ['--set', 'checkpointBytes=1048576']
  let broker = await up(...settings)
  const { port } = broker
  const admin = await running.client(new Admin({ nameServers: broker.address }))
  await admin.createTopic('payments', { queues: 2, dedupWindowMs: 3_600_000 })
  const senders = ['a', 'b', 'c'].map((name) => new Sender(broker.address, 'payments', name, 0, KEYS, 'dedup'))
  const [first] = senders as [Sender]
  for (const answered of [200, 700, 1_200]) {
    await expect.poll(() => first.answers.length, { timeout: 60_000 }).toBeGreaterThan(answered)
    await broker.stop('SIGKILL')
    broker = await up('--port', `${port}`, ...settings)
  }
  const answers = (await Promise.all(senders.map((sender) => sender.done()))).flat()
  const places = new Map<number, Set<string>>()
  for (const { n, place } of answers) places.set(n, (places.get(n) ?? new Set()).add(place))
  expect([...places].filter(([, found]) => found.size !== 1)).toEqual([])
  expect(places.size).toBe(KEYS)
  // An answer lost in a kill is asked for again, so there may be more repeats than two for each key, never fewer.
  expect(answers.filter(({ duplicate }) => duplicate).length).toBeGreaterThanOrEqual(2 * KEYS)
  const offsets = await (await running.client(new Admin({ nameServers: broker.address }))).queueOffsets('payments')
  expect(offsets.reduce((sum, { maxOffset }) => sum + maxOffset, 0n)).toBe(BigInt(KEYS))
  const stored = await readTopic(broker.address, 'payments', KEYS)
  const keyed = stored.map(({ properties, storedAt }) => ({
    key: properties['DEDUP_KEY'] ?? '',
    storedAt: storedAt.getTime(),
  }))
  expect(dedupWindowViolations(keyed, 3_600_000)).toEqual([])
  expect(new Set(keyed.map(({ key }) => key)).size).toBe(KEYS)
}, 120_000)

test('an operator switches dedup off for one topic by command, others keep theirs', async () => {
  const broker = await up()
  const create = (...argv: string[]) => tandem('topics', 'create', ...argv, '--name-server', broker.address)
  expect((await create('ticks', '--dedup-window-ms', '0')).code).toBe(0)
  expect((await create('ticks', '--dedup-window-ms', '604800001')).code).not.toBe(0)
  const producer = await running.client(new Producer({ nameServers: broker.address, group: 'p' }))
  const twice = async (topic: string) => {
    const receipts = [1, 2].map(() => producer.send({ topic, body: 'x', dedupKey: 'k' }))
    return (await Promise.all(receipts)).map(({ duplicate }) => duplicate)
  }
  expect(await twice('ticks')).toEqual([false, false])
  expect(await twice('payments')).toEqual([false, true])
})

test('a consumer by lease gets the backlog of three senders by priority, the order of each kept, and nobody waits for ever', async () => {
  const broker = await up()
  const admin = await running.client(new Admin({ nameServers: broker.address }))
  await admin.createTopic('jobs', { queues: 3, type: 'priority' })
  const count = 40
  await Promise.all(
    [0, 1, 2].map((priority) => new Sender(broker.address, 'jobs', `p${priority}`, 0, count, priority).done()),
  )
  const seen: ConsumedMessage[] = []
  const options = {
    nameServers: broker.address,
    group: 'g',
    mode: 'lease',
    startFrom: 'first',
    concurrencyMax: 1,
  } as const
  const consumer = new PushConsumer(options)
  running.atEnd(() => consumer.close())
  consumer.subscribe('jobs', '*', (message) => void seen.push(message))
  await consumer.start()
  await expect.poll(() => seen.length, { timeout: 30_000 }).toBe(3 * count)
  const texts = seen.map((message) => message.text())
  for (const priority of [0, 1, 2]) {
    const own = seen.filter((message) => message.priority === priority)
    expect(own.map((message) => message.text())).toEqual(Array.from({ length: count }, (_, n) => `p${priority} ${n}`))
    expect(new Set(own.map(({ queueId }) => queueId))).toEqual(new Set([priority]))
  }
  // One in eight is not the most urgent; a batch of the broker may hold some more of them.
  expect(texts.slice(0, count).filter((text) => text.startsWith('p2')).length).toBeGreaterThan(count * 0.7)
  expect(texts.slice(-count / 2).some((text) => text.startsWith('p2'))).toBe(false)
})
