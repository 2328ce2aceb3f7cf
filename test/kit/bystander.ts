import { type Logger, Producer, PushConsumer } from '@tandemmq/client'
import { type Clock, type Network, sleep, systemClock, systemNetwork } from '@tandemmq/remoting'

export interface BystanderOptions {
  /** Default: the machine's. */
  clock?: Clock
  network?: Network
  /** Pause between two messages, ms of the clock. Default 0. */
  paceMs?: number
}

/** A client that sends and receives all the while, and remembers whatever disturbed it. */
export class Bystander {
  /** Errors of sends, warnings, second connections to one address. */
  readonly disturbances: string[] = []
  readonly #received = new Set<string>()
  /** Sent, not received yet. */
  readonly #underWay = new Set<string>()
  readonly #producer: Producer
  readonly #consumer: PushConsumer
  #loop: Promise<void> | undefined
  #isEnding = false
  #waiting: (() => void)[] = []
  readonly #clock: Clock
  readonly #network: Network
  readonly #paceMs: number

  private constructor(nameServers: string, options: BystanderOptions) {
    this.#clock = options.clock ?? systemClock
    this.#network = options.network ?? systemNetwork
    this.#paceMs = options.paceMs ?? 0
    const note = (text: string): void => void this.disturbances.push(text)
    const quiet = (): void => undefined
    const logger: Logger = { debug: quiet, info: quiet, warn: note, error: note }
    const common = { nameServers, logger, clock: this.#clock, requestTimeoutMs: 10_000 }
    this.#producer = new Producer({ ...common, network: this.#counted(), group: 'bystander', sendTimeoutMs: 10_000 })
    this.#consumer = new PushConsumer({ ...common, network: this.#counted(), group: 'bystander', startFrom: 'first' })
    this.#consumer.subscribe('bystander', '*', (message) => {
      const body = message.text()
      if (this.#received.has(body)) note(`${body} came twice`)
      this.#received.add(body)
      this.#underWay.delete(body)
      this.#wake()
    })
  }

  static async start(nameServers: string, options: BystanderOptions = {}): Promise<Bystander> {
    const made = new Bystander(nameServers, options)
    await made.#producer.start()
    await made.#producer.send({ topic: 'bystander', body: 'first' })
    made.#underWay.add('first')
    await made.#consumer.start()
    made.#loop = made.#sendAndReceive()
    return made
  }

  /** How many messages went round. */
  get rounds(): number {
    return this.#received.size
  }

  /** Resolves after `more` further messages went round. */
  async roundsMore(more: number): Promise<void> {
    const wanted = this.rounds + more
    while (this.rounds < wanted) await this.#next()
  }

  /** @returns what disturbed it: empty when every message was sent at the first try and received exactly once */
  async end(): Promise<string[]> {
    this.#isEnding = true
    this.#wake()
    await this.#loop
    await Promise.all([this.#producer.close(), this.#consumer.close()])
    return this.disturbances
  }

  async #sendAndReceive(): Promise<void> {
    for (let n = 0; !this.#isEnding || this.#underWay.size > 0; n++) {
      if (this.#underWay.size > 0) {
        await this.#next()
        continue
      }
      if (this.#paceMs > 0) await sleep(this.#clock, this.#paceMs)
      const body = `message ${n}`
      this.#underWay.add(body)
      await this.#producer.send({ topic: 'bystander', body }, { retriesMax: 0 }).catch((error: Error) => {
        this.disturbances.push(error.message)
        this.#underWay.delete(body)
      })
    }
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** A second connection of one client to one address is a reconnect. */
  #counted(): Network {
    const seen = new Set<string>()
    return {
      listen: (options, onSocket) => this.#network.listen(options, onSocket),
      connect: (options) => {
        const address = `${options.host}:${options.port}`
        if (seen.has(address)) this.disturbances.push(`connected to ${address} again`)
        seen.add(address)
        return this.#network.connect(options)
      },
    }
  }
}
