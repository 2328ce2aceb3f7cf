import type { Broker } from '@tandemmq/broker'
import type { FaultDisk } from '@tandemmq/broker/simulation'
import { sleep } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { HistoryChecker, type Violation } from '../history-checker.ts'
import type { HistoryEvent } from '../history.ts'
import { Clients, RETRY, type SingleKind } from './clients.ts'
import { Ledger } from './ledger.ts'
import { MemoryWire } from './memory-wire.ts'
import { brokerOptions, HOST, type Moment, PORT, SETTINGS, type StartBroker, topics } from './recorded-history.ts'

const READER = 'auditors'
/** A broker whose disk is gone answers nothing any more. */
const LIFE_MS = 60_000
/** Longest delay of a message, and two rounds of check-backs. */
const SETTLE_MS = 7_000
/** Acknowledged sends that are sent once more: the broker must know them. As many of the newest, and of some time ago. */
const REPEATS = 4
/** Of the newest so many; retention has not come so far yet. */
const REPEATS_FROM = 80

interface Pending {
  kind: string
  topic: string
  delayMs: number | undefined
}

/**
 * The company after a power cut: a new broker on what the disk kept, and clients that remember. Producers repeat what was not
 * answered and some of what was, open transactions are decided, new messages are sent, everything is read, and the history is
 * judged.
 */
export class Aftermath {
  readonly #events: HistoryEvent[]
  readonly #startBroker: StartBroker
  #now: number
  #wall: number
  #rounds = 0
  readonly #passesOver: boolean

  /** @param passesOver whether readers leave out what the broker cannot read; default: that is a failure */
  constructor(moment: Moment, startBroker: StartBroker, passesOver = false) {
    this.#passesOver = passesOver
    this.#events = [...moment.events]
    this.#startBroker = startBroker
    this.#now = moment.now
    this.#wall = moment.wall
  }

  /** Lives on with `disk`, and leaves it in the middle of things. */
  async live(disk: FaultDisk): Promise<void> {
    const clock = new VirtualClock({ seed: ++this.#rounds, startAt: Math.ceil(this.#wall) })
    const ledger = new Ledger(clock, this.#now, () => 0)
    ledger.note({ event: 'fault', kind: 'power cut' })
    let broker: Broker | undefined
    const network = new MemoryNetwork({ clock, latencyMs: 0.1 })
    try {
      broker = await clock.run(this.#startBroker(brokerOptions(clock, network, disk)))
      await clock.run(this.#work(clock, network, ledger), LIFE_MS)
    } finally {
      this.#events.push(...ledger.events)
      this.#now = ledger.now
      this.#wall = clock.now()
      if (broker === undefined) network.reset(HOST)
    }
  }

  violations(): readonly Violation[] {
    const checker = new HistoryChecker()
    for (const event of this.#events) checker.take(event)
    return checker.report().violations
  }

  async #work(clock: VirtualClock, network: MemoryNetwork, ledger: Ledger): Promise<void> {
    const wire = await MemoryWire.open(network, HOST, PORT)
    const clients = new Clients(wire, ledger)
    const known = new Map<string, 'commit' | 'rollback'>()
    for (const one of this.#events) {
      if (one.event === 'local.commit') known.set(one.id, 'commit')
      if (one.event === 'local.rollback') known.set(one.id, 'rollback')
    }
    wire.onRequest = (frame) => {
      if (frame.code === 39) clients.answerCheck(frame, (id) => known.get(id))
    }
    await clients.heartbeat([...Object.keys(topics), RETRY])
    for (const [topic, queues] of queuesRead()) {
      for (let queueId = 0; queueId < queues; queueId++) await clients.readCommitted(topic, queueId)
    }
    for (const key of SETTINGS) await clients.readSetting(key)
    for (const [topic, queues] of Object.entries(topics)) await clients.createTopic(topic, queues)
    if (this.#rounds === 1) await this.#repeat(clients)
    for (const [topic, queues] of Object.entries(topics)) {
      for (let queueId = 0; queueId < queues; queueId++) {
        await clients.send('plain', `after-${this.#rounds}-${topic}-${queueId}`, topic, queueId)
      }
    }
    await sleep(clock, SETTLE_MS)
    for (const [topic, queues] of queuesRead()) {
      ledger.note({ event: 'join', group: READER, topic })
      for (let queueId = 0; queueId < queues; queueId++) await this.#readAll(clients, ledger, topic, queueId)
    }
    await findByKey(clients, ledger)
    wire.close()
  }

  async #readAll(clients: Clients, ledger: Ledger, topic: string, queueId: number): Promise<void> {
    const range = await clients.rangeOf(topic, queueId)
    if (range === undefined) return
    const { min: minOffset, max: maxOffset } = range
    for (let offset = minOffset; offset < maxOffset; ) {
      const { code, next, messages } = await clients.pull(READER, topic, queueId, offset)
      if (code === 0 && messages.length > 0 && next > offset) offset = next
      else if (this.#passesOver) offset++
      else throw new Error(`a pull from ${topic}/${queueId}/${offset} of ${minOffset} to ${maxOffset} answered ${code}`)
    }
    ledger.note({ event: 'read.all', group: READER, topic, queueId, minOffset, maxOffset })
  }

  /** What a producer does that had no answer, and one that forgot that it had. */
  async #repeat(clients: Clients): Promise<void> {
    const open = new Map<string, Pending>()
    const answered: [string, Pending][] = []
    const deleted = new Set(this.#events.flatMap((one) => (one.event === 'delete.start' ? [one.topic] : [])))
    for (const one of this.#events) {
      if (one.event === 'send.start' && !deleted.has(one.topic) && one.topic !== RETRY) open.set(one.id, one as Pending)
      if (one.event !== 'send.ok') continue
      const sent = open.get(one.id)
      open.delete(one.id)
      if (sent !== undefined) answered.push([one.id, sent])
    }
    const known = answered.filter(([, { kind, topic }]) => isSingle(kind) && topic !== 'quiet').slice(-REPEATS_FROM)
    const every = (REPEATS_FROM - REPEATS) / REPEATS
    const old = known.slice(0, -REPEATS).filter((_, index) => index % every === 0)
    for (const [id, { kind, topic, delayMs }] of [...open, ...old, ...known.slice(-REPEATS)]) {
      if (isSingle(kind)) await clients.send(kind, id, topic, 0, delayMs)
    }
  }
}

function isSingle(kind: string): kind is SingleKind {
  return kind === 'plain' || kind === 'dedup' || kind === 'delayed'
}

function queuesRead(): [topic: string, queues: number][] {
  return [...Object.entries(topics), [RETRY, 1]]
}

/** Of each topic the last message read with a key is found by it; the query looks into every file of the index. */
async function findByKey(clients: Clients, ledger: Ledger): Promise<void> {
  const last = new Map<string, string>()
  for (const event of ledger.events) {
    if (event.event === 'recv' && event.group === READER && event.topic !== RETRY) last.set(event.topic, event.id)
  }
  for (const [topic, id] of last) {
    const found = await clients.findByKey(topic, id)
    if (!found.includes(id)) throw new Error(`a query for the key ${id} of ${topic} found ${found.join() || 'nothing'}`)
  }
}
