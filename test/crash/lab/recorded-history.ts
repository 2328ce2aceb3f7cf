import type { Broker, BrokerOptions } from '@tandemmq/broker'
import { sleep } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { SeededRandom } from '../../kit/seeded-random.ts'
import type { HistoryEvent } from '../history.ts'
import { Clients, READERS, RETRY, type SingleKind } from './clients.ts'
import { Ledger } from './ledger.ts'
import { MemoryWire } from './memory-wire.ts'
import { type Disk, RecordedDisk } from './recorded-disk.ts'

export const HOST = '10.0.0.1'
export const PORT = 9876
export const DATA_DIR = '/data'
/** Topics of the company and their queues; `temporary` comes and goes, `quiet` has messages in the first part only. */
export const topics: Readonly<Record<string, number>> = { orders: 3, audit: 2, temporary: 1, quiet: 1 }
export const SETTINGS = ['a', 'b'] as const
/** Retention looks once a minute. */
const PART_MS = 60_000
const QUIET_SENDS = 4
const KINDS = ['plain', 'plain', 'plain', 'dedup', 'delayed', 'half', 'batch'] as const

/** What the clients know at some time. */
export interface Moment {
  readonly events: readonly HistoryEvent[]
  /** ms since the history began, and the wall clock. */
  readonly now: number
  readonly wall: number
}

export type StartBroker = (options: BrokerOptions) => Promise<Broker>

export interface HistoryOptions {
  seed: number
  /** Minutes of company life, each with some seconds of work. */
  parts: number
  /** Messages each of three lanes sends in a part. */
  sends: number
  startBroker: StartBroker
}

/** Small files, so that a short history meets the change from one to the next, retention, index files and checkpoints. */
export function brokerOptions(clock: VirtualClock, network: MemoryNetwork, disk: Disk): BrokerOptions {
  return {
    ...{ clock, network, disk, dataDir: DATA_DIR, host: HOST, port: PORT },
    messageBytesMax: 8 << 10,
    segmentBytes: (8 << 10) + (128 << 10),
    checkpointBytes: 1 << 20,
    retentionBytes: 1 << 20,
    // Records of application keys are kept for it, whatever retention wants.
    dedupWindowMs: 100_000,
    transactionTimeoutMs: 1_000,
    transactionCheckIntervalMs: 2_000,
  }
}

/** One scripted history of a whole broker and its clients, with every step of its disk. */
export class RecordedHistory {
  readonly disk: RecordedDisk
  readonly ledger: Ledger
  readonly clock: VirtualClock
  readonly #options: HistoryOptions
  readonly #network: MemoryNetwork
  readonly #random: SeededRandom
  #ids = 0
  #broker: Broker | undefined

  private constructor(options: HistoryOptions) {
    this.#options = options
    const clock = (this.clock = new VirtualClock({ seed: options.seed }))
    this.#network = new MemoryNetwork({ clock, latencyMs: 0.1 })
    this.#random = new SeededRandom(options.seed)
    // A sync takes its time, so that much happens while it runs.
    this.disk = new RecordedDisk((end) => void clock.setTimer(0.3 + clock.random() * 3, end))
    this.ledger = new Ledger(clock, 0, () => this.disk.steps.length)
  }

  static async record(options: HistoryOptions): Promise<RecordedHistory> {
    const history = new RecordedHistory(options)
    await history.clock.run(history.#play())
    return history
  }

  /** Ends the broker as an operator does. @returns what the clients know then */
  async close(): Promise<Moment> {
    await this.clock.run(this.#broker?.close() ?? Promise.resolve())
    return { events: this.ledger.events, now: this.clock.monotonic(), wall: this.clock.now() }
  }

  async #play(): Promise<void> {
    const { parts, startBroker } = this.#options
    this.#broker = await startBroker(brokerOptions(this.clock, this.#network, this.disk.disk))
    const wire = await MemoryWire.open(this.#network, HOST, PORT)
    const clients = new Clients(wire, this.ledger)
    wire.onRequest = (frame) => {
      if (frame.code === 39) clients.answerCheck(frame, (id) => decisionIn(this.ledger, id))
    }
    for (const [topic, queues] of Object.entries(topics)) await clients.createTopic(topic, queues)
    const reading = new Reading(clients, this.#random)
    await clients.heartbeat([...Object.keys(topics), RETRY])
    for (let part = 0; part < parts; part++) {
      const from = this.clock.monotonic()
      if (part === 0) for (let n = 0; n < QUIET_SENDS; n++) await clients.send('plain', `quiet-${n}`, 'quiet', 0)
      await this.#work(clients, reading)
      // The last part ends in the middle of things.
      if (part === parts - 1) return
      while (this.clock.monotonic() - from < PART_MS + 1_000) {
        await sleep(this.clock, 15_000)
        await clients.heartbeat([...Object.keys(topics), RETRY])
      }
    }
  }

  async #work(clients: Clients, reading: Reading): Promise<void> {
    let working = 3
    const lanes = [0, 1, 2].map((lane) => this.#sell(clients, lane).finally(() => void working--))
    await Promise.all([...lanes, this.#read(reading, () => working > 0), this.#administer(clients, () => working > 0)])
  }

  async #sell(clients: Clients, lane: number): Promise<void> {
    const random = this.#random
    for (let n = 0; n < this.#options.sends; n++) {
      const kind = random.pick(KINDS)
      const topic = random.pick(['orders', 'orders', 'audit'])
      const queueId = random.between(0, (topics[topic] ?? 1) - 1)
      const id = `${kind}-${lane}-${this.#ids++}`
      if (kind === 'batch') {
        const ids = Array.from({ length: random.between(2, 4) }, (_, index) => `${id}.${index}`)
        await clients.sendBatch(ids, topic, queueId)
      } else if (kind === 'half') {
        await clients.sendHalf(id, topic, random.next() < 0.7 ? 'commit' : 'rollback', random.next() < 0.3)
      } else await this.#single(clients, kind, id, topic, queueId)
      await sleep(this.clock, random.next() < 0.3 ? 0.01 : random.next() * 40)
    }
  }

  #single(clients: Clients, kind: SingleKind, id: string, topic: string, queueId: number): Promise<void> {
    return clients.send(kind, id, topic, queueId, kind === 'delayed' ? this.#random.between(50, 3_000) : undefined)
  }

  async #read(reading: Reading, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await reading.round()
      await sleep(this.clock, this.#random.next() * 60)
    }
  }

  /** Settings, and a topic that is deleted and made again under load. */
  async #administer(clients: Clients, goesOn: () => boolean): Promise<void> {
    for (let n = 0; goesOn(); n++) {
      await clients.put(SETTINGS[n % SETTINGS.length] as string, this.#ids++)
      const id = `temporary-${this.#ids++}`
      await clients.send('plain', id, 'temporary', 0)
      if (n % 4 === 3) {
        await clients.deleteTopic('temporary')
        await clients.createTopic('temporary', 1)
      }
      await sleep(this.clock, this.#random.next() * 150)
    }
  }
}

/** The group of readers: reads on, commits now and then, gives a message back now and then. */
class Reading {
  readonly #clients: Clients
  readonly #random: SeededRandom
  readonly #next = new Map<string, number>()

  constructor(clients: Clients, random: SeededRandom) {
    this.#clients = clients
    this.#random = random
  }

  async round(): Promise<void> {
    for (const [topic, queues] of [...Object.entries(topics), [RETRY, 1] as const]) {
      if (topic === 'temporary') continue
      for (let queueId = 0; queueId < queues; queueId++) await this.#readQueue(topic, queueId)
    }
  }

  async #readQueue(topic: string, queueId: number): Promise<void> {
    const name = `${topic}/${queueId}`
    const offset = this.#next.get(name) ?? 0
    const { messages, next } = await this.#clients.pull(READERS, topic, queueId, offset)
    if (messages.length > 0) this.#next.set(name, next)
    if (topic === 'orders' && this.#random.next() < 0.1 && messages[0]) await this.#clients.sendBack(messages[0])
    if (offset === 0 || this.#random.next() < 0.7) await this.#clients.commit(topic, queueId, this.#next.get(name) ?? 0)
  }
}

export function decisionIn(ledger: Ledger, id: string): 'commit' | 'rollback' | undefined {
  const found = ledger.events.find(
    (event) => (event.event === 'local.commit' || event.event === 'local.rollback') && event.id === id,
  )
  return found === undefined ? undefined : found.event === 'local.commit' ? 'commit' : 'rollback'
}
