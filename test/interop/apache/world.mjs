// What one scenario has: names of its own, clients that are closed after it, and what its consumers got.
import { Admin, Producer, PullConsumer, PushConsumer, TransactionProducer } from '@tandemmq/client'
import { until } from '../servers/process.mjs'

export const ARRIVE_MS = 60_000

export function expect(holds, what) {
  if (!holds) throw new Error(`expected ${what}`)
}

/** @param wanted bodies, as often as they are to come */
export function expectSame(got, wanted, what) {
  const [a, b] = [got.toSorted().join(', '), wanted.toSorted().join(', ')]
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`)
}

export class World {
  #closings = []

  constructor(nameServers, prefix, scenario) {
    this.nameServers = nameServers
    this.topic = `${prefix}-${scenario}`
    this.group = `G-${prefix}-${scenario}`
  }

  async #started(client) {
    this.#closings.push(client)
    await client.start()
    return client
  }

  producer(options = {}) {
    return this.#started(new Producer({ nameServers: this.nameServers, group: `P${this.group}`, ...options }))
  }

  transactionProducer(check) {
    return this.#started(new TransactionProducer({ nameServers: this.nameServers, group: `T${this.group}`, check }))
  }

  admin() {
    return this.#started(new Admin({ nameServers: this.nameServers }))
  }

  puller(group = this.group) {
    return this.#started(new PullConsumer({ nameServers: this.nameServers, group }))
  }

  /** A started consumer; what it gets lands in `received` of the answer. `handler` may throw. */
  async consumer(options = {}, filter = '*', handler = () => {}) {
    const consumer = new PushConsumer({
      ...{ nameServers: this.nameServers, group: this.group, startFrom: 'first', ...options },
    })
    const received = []
    consumer.subscribe(this.topic, filter, async (message, context) => {
      await handler(message, context)
      received.push(message)
    })
    await this.#started(consumer)
    return Object.assign(consumer, { received })
  }

  async #send(producer, bodies, options) {
    for (const body of bodies) await producer.send({ topic: this.topic, body, ...options })
  }

  async send(bodies, options = {}) {
    await this.#send(await this.producer(), bodies, options)
  }

  /** Waits until as many have come as are wanted, and a moment longer for what should not come. */
  async arrived(received, wanted, timeoutMs = ARRIVE_MS) {
    const missing = () => `${wanted.length} messages, not ${received.length}`
    await until(missing(), () => received.length >= wanted.length, timeoutMs).catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 700))
    expectSame(
      received.map((message) => message.text()),
      wanted,
      'messages',
    )
  }

  closing(close) {
    this.#closings.push({ close })
  }

  async close() {
    for (const client of this.#closings.toReversed()) await client.close()
  }
}
