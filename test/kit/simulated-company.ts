import { createHash } from 'node:crypto'
import { type Broker, startBroker } from '@tandemmq/broker'
import { FaultDisk } from '@tandemmq/broker/simulation'
import {
  type ConsumedMessage,
  Producer,
  PullConsumer,
  PushConsumer,
  ReconsumeLater,
  sleep,
  TransactionProducer,
  type TransactionDecision,
} from '@tandemmq/client'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'

const ADDRESS = '10.0.0.1:9876'
const MESSAGES = 60
const TRANSACTIONS = 20
/** Long enough for every retry, check-back and delay that may still be under way. */
const SETTLE_MS = 240_000
const FAULTS = ['cut', 'toServer', 'toClient', 'delay', 'reset', 'halfOpen', 'refuse', 'power'] as const

/** What became of everything; {@link history} has each event with its virtual time. */
export interface Outcome {
  history: string[]
  /** Of every byte of the log. */
  logDigest: string
  /** Bodies whose send was acknowledged. */
  acknowledged: string[]
  /** Earliest instant each delayed body may arrive. */
  dueAt: Map<string, number>
  /** When a handler saw each body. */
  handled: Map<string, { at: number; attempt: number }[]>
  /** Reasons by body. */
  deadLetters: Map<string, string | undefined>
  decisions: Map<string, TransactionDecision>
  checks: number
  faults: string[]
}

/** Producers, transactions, a consumer group and a broker under faults, all decided by one seed. */
export class SimulatedCompany {
  readonly #clock: VirtualClock
  readonly #network: MemoryNetwork
  #disk: FaultDisk
  #broker: Broker | undefined
  #isOver = false
  readonly outcome: Outcome = {
    history: [],
    logDigest: '',
    acknowledged: [],
    dueAt: new Map(),
    handled: new Map(),
    deadLetters: new Map(),
    decisions: new Map(),
    checks: 0,
    faults: [],
  }

  constructor(seed: number) {
    const clock = (this.#clock = new VirtualClock({ seed }))
    this.#network = new MemoryNetwork({ clock })
    this.#disk = new FaultDisk({ seed, soon: (callback) => clock.soon(callback) })
  }

  static run(seed: number): Promise<Outcome> {
    const company = new SimulatedCompany(seed)
    return company.#clock.run(company.#day())
  }

  async #day(): Promise<Outcome> {
    await this.#startBroker()
    const producer = new Producer({
      ...this.#machine('10.0.0.2'),
      group: 'shop',
      sendTimeoutMs: 20_000,
      retriesMax: 20,
    })
    const payments = new TransactionProducer({
      ...this.#machine('10.0.0.3'),
      group: 'payments',
      sendTimeoutMs: 20_000,
      retriesMax: 20,
      check: (message) => this.#check(message),
    })
    const members = ['10.0.0.4', '10.0.0.5'].map((host) => this.#member(host))
    await Promise.all([producer.start(), payments.start(), ...members.map((member) => member.start())])
    const faults = this.#faults()
    await Promise.all([this.#sell(producer), this.#pay(payments)])
    this.#isOver = true
    await faults
    await sleep(this.#clock, SETTLE_MS)
    await Promise.all(members.map((member) => member.close()))
    await this.#readDeadLetters()
    await Promise.all([producer.close(), payments.close()])
    await this.#broker?.close()
    this.outcome.logDigest = this.#digest()
    return this.outcome
  }

  #note(text: string): void {
    this.outcome.history.push(`${this.#clock.monotonic()} ${text}`)
  }

  #machine(host: string) {
    const network = this.#network.host(host)
    const logger = {
      debug: (text: string) => this.#note(`${host} ${text}`),
      info: (text: string) => this.#note(`${host} ${text}`),
      warn: (text: string) => this.#note(`${host} ${text}`),
      error: (text: string) => this.#note(`${host} ${text}`),
    }
    return { clock: this.#clock, network, logger, nameServers: ADDRESS, clientId: host }
  }

  async #startBroker(): Promise<void> {
    this.#broker = await startBroker({
      clock: this.#clock,
      network: this.#network,
      disk: this.#disk,
      dataDir: '/data',
      host: '10.0.0.1',
      port: 9876,
      transactionTimeoutMs: 2_000,
      segmentBytes: 8 << 20,
      log: (line) => this.#note(`broker: ${line}`),
    })
    this.#note('broker ready')
  }

  async #sell(producer: Producer): Promise<void> {
    const { acknowledged, dueAt } = this.outcome
    const clock = this.#clock
    for (let n = 0; n < MESSAGES; n++) {
      const kind = ['plain', 'plain', 'delayed', 'poison'][Math.floor(clock.random() * 4)] ?? 'plain'
      const body = `${kind} ${n}`
      const delayMs = kind === 'delayed' ? Math.floor(clock.random() * 20_000) : undefined
      if (delayMs !== undefined) dueAt.set(body, clock.now() + delayMs)
      try {
        const { queueId, queueOffset, messageId } = await producer.send({ topic: 'orders', body, delayMs })
        acknowledged.push(body)
        this.#note(`stored ${body} at ${queueId}/${queueOffset} as ${messageId}`)
      } catch (error) {
        this.#note(`${body} failed: ${(error as Error).message}`)
      }
      await sleep(clock, clock.random() * 1_000)
    }
  }

  async #pay(payments: TransactionProducer): Promise<void> {
    const { decisions } = this.outcome
    const clock = this.#clock
    for (let n = 0; n < TRANSACTIONS; n++) {
      const key = `t-${n}`
      const decision = clock.random() < 0.6 ? 'commit' : 'rollback'
      const isForgotten = clock.random() < 0.4
      try {
        const { outcome } = await payments.sendInTransaction({ topic: 'orders', keys: key, body: key }, async () => {
          await sleep(clock, clock.random() * 500)
          decisions.set(key, decision)
          return isForgotten ? ('unknown' as const) : decision
        })
        this.#note(`${key} ${decision}: ${outcome}`)
      } catch (error) {
        // Never executed: whoever asks about a half message that was stored all the same hears no.
        decisions.set(key, 'rollback')
        this.#note(`${key} failed: ${(error as Error).message}`)
      }
      await sleep(clock, clock.random() * 3_000)
    }
  }

  async #check(message: ConsumedMessage): Promise<TransactionDecision> {
    this.outcome.checks++
    const known = this.outcome.decisions.get(message.keys[0] ?? '') ?? 'unknown'
    const answer = this.#clock.random() < 0.3 ? 'unknown' : known
    this.#note(`asked about ${message.keys[0]}: ${answer}`)
    return answer
  }

  #member(host: string): PushConsumer {
    const consumer = new PushConsumer({
      ...this.#machine(host),
      group: 'billing',
      startFrom: 'first',
      concurrencyMax: 3,
      attemptsMax: 3,
    })
    consumer.subscribe('orders', '*', async (message) => {
      const body = message.text()
      this.#note(`${host} begins ${body}, attempt ${message.attempt}`)
      const seen = this.outcome.handled.get(body) ?? []
      seen.push({ at: this.#clock.now(), attempt: message.attempt })
      this.outcome.handled.set(body, seen)
      await sleep(this.#clock, this.#clock.random() * 200)
      // The broker's own back-off: 10 s, then 30 s.
      if (body.startsWith('poison')) throw new Error(`cannot eat ${body}`)
      if (message.attempt === 1 && this.#clock.random() < 0.2) throw new ReconsumeLater({ delayMs: 3_000 })
      this.#note(`${host} ends ${body}`)
    })
    return consumer
  }

  /** One at a time, each healed before the next, none twice before all were drawn; the fourth is a power cut. */
  async #faults(): Promise<void> {
    const deck: (typeof FAULTS)[number][] = []
    const clock = this.#clock
    const network = this.#network
    const hosts = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
    for (let n = 0; !this.#isOver; n++) {
      await sleep(clock, 500 + clock.random() * 4_000)
      const host = hosts[Math.floor(clock.random() * hosts.length)] ?? ADDRESS
      if (deck.length === 0) deck.push(...FAULTS)
      const drawn = Math.floor(clock.random() * deck.length)
      const kind = n === 3 ? 'power' : (deck.splice(drawn, 1)[0] ?? 'cut')
      const lastsMs = clock.random() * 6_000
      this.#note(`fault: ${kind} of ${host} for ${lastsMs} ms`)
      this.outcome.faults.push(kind)
      if (kind === 'power') await this.#losePower(lastsMs)
      else if (kind === 'cut') network.cut(host)
      else if (kind === 'toServer' || kind === 'toClient') network.cut(host, kind)
      else if (kind === 'delay') network.delay(host, clock.random() * 2_000)
      else network[kind](host)
      await sleep(clock, lastsMs)
      network.heal(host)
      this.#note(`healed ${host}`)
    }
  }

  async #losePower(lastsMs: number): Promise<void> {
    this.#disk = this.#disk.powerCut({ seed: Math.floor(this.#clock.random() * 0x1_0000_0000) })
    this.#network.reset('10.0.0.1')
    // Frees the port. Nobody waits for the rest: a disk without power never answers a sync.
    this.#broker?.close().catch((error: Error) => this.#note(`the broker died: ${error.message}`))
    await sleep(this.#clock, lastsMs)
    await this.#startBroker()
  }

  async #readDeadLetters(): Promise<void> {
    const pull = new PullConsumer({ ...this.#machine('10.0.0.6'), group: 'reader' })
    await pull.start()
    const ending = new AbortController()
    this.#clock.setTimer(5_000, () => ending.abort())
    for await (const message of pull.messages('%DLQ%billing', { from: 'first', signal: ending.signal })) {
      this.outcome.deadLetters.set(message.text(), message.properties['DLQ_REASON'])
    }
    await pull.close()
  }

  #digest(): string {
    const hash = createHash('sha256')
    const walk = (path: string): void => {
      const names = this.#disk.list(path)
      for (const name of names) walk(`${path}/${name}`)
      if (names.length > 0) return
      const file = this.#disk.open(path, 'read')
      const bytes = Buffer.alloc(file.size())
      file.read(bytes, 0, bytes.length, 0)
      file.close()
      hash.update(path).update(bytes)
    }
    walk('/data')
    return hash.digest('hex')
  }
}
