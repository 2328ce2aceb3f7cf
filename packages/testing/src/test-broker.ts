import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBroker } from '@tandemmq/broker'
import type { Broker, BrokerOptions } from '@tandemmq/broker'
import { MemoryDisk, VirtualClock } from '@tandemmq/broker/simulation'
import { Admin, isTopic, Producer, sleep, systemClock, TandemError } from '@tandemmq/client'
import type { MessageFields, SendReceipt, Topic } from '@tandemmq/client'
import { sentMessageOf } from './sent-message.ts'
import type { SentMessage } from './sent-message.ts'

const POLL_MS = 3

/** Options of {@link startTestBroker}: any option of a broker, and two of its surroundings. */
export interface TestBrokerOptions extends Partial<Omit<BrokerOptions, 'clock' | 'disk' | 'network'>> {
  /** `virtual`: the broker's time stands still until {@link TestBroker.advance}. Default `system`. */
  clock?: 'virtual' | 'system'
  /** `temporary`: a directory that is removed by `close`. Default `memory`. */
  storage?: 'memory' | 'temporary'
  /** Of chance under a virtual clock. Default 1. */
  seed?: number
}

/**
 * A broker in this process, on a real port of 127.0.0.1: any client reaches it. Its own time is what
 * {@link TestBroker.advance} moves; clients keep the machine's.
 */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const { clock: time = 'system', storage = 'memory', seed = 1, ...settings } = options
  const clock = time === 'virtual' ? new VirtualClock({ seed, soon: 'real', startAt: systemClock.now() }) : undefined
  const directory = storage === 'temporary' ? mkdtempSync(join(tmpdir(), 'tandemmq-test-')) : undefined
  const removeDirectory = (): void => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  }
  try {
    const broker = await startBroker({
      dataDir: directory ?? '/memory',
      port: 0,
      ...settings,
      ...(directory === undefined ? { disk: new MemoryDisk() } : {}),
      // Clients beat by the machine's clock: an hour that passes in a moment must not make them strangers.
      ...(clock === undefined ? {} : { clock, channelExpiryMs: Number.POSITIVE_INFINITY }),
    })
    return new TestBroker(broker, clock, removeDirectory)
  } catch (error) {
    removeDirectory()
    throw error
  }
}

/** Started by {@link startTestBroker}. */
export class TestBroker implements AsyncDisposable {
  readonly #broker: Broker
  readonly #clock: VirtualClock | undefined
  readonly #cleanUp: () => void
  #producer: Promise<Producer> | undefined
  #admin: Promise<Admin> | undefined
  #closed: Promise<void> | undefined

  constructor(broker: Broker, clock: VirtualClock | undefined, cleanUp: () => void) {
    this.#broker = broker
    this.#clock = clock
    this.#cleanUp = cleanUp
  }

  /** `127.0.0.1:PORT`, for `nameServers`. */
  get address(): string {
    return this.#broker.address
  }

  /**
   * Lets `ms` of the broker's time pass: delays, retries and check-backs that fall due happen now. Clients go on in the
   * machine's time meanwhile, so advance by the step the test is about, then wait until it is {@link settled}.
   * @throws {Error} under the system clock
   */
  async advance(ms: number): Promise<void> {
    if (this.#clock === undefined) throw new Error("advance() needs startTestBroker({ clock: 'virtual' })")
    await this.#clock.advance(ms)
  }

  /**
   * Sends a message as another service would: body as in `Producer.send`, or the payload of a topic of `defineTopic`. To see
   * what becomes of a payload that does not fit, deliver it by the topic's name.
   * @throws {TandemError} PAYLOAD_INVALID
   */
  deliver(topic: string, body: unknown, fields?: MessageFields): Promise<SendReceipt>
  deliver<In>(topic: Topic<In, unknown, unknown>, payload: NoInfer<In>, fields?: MessageFields): Promise<SendReceipt>
  async deliver(topic: string | Topic, body: unknown, fields?: MessageFields): Promise<SendReceipt> {
    const message = isTopic(topic) ? await topic.messageLater(body, fields) : { ...fields, topic, body }
    this.#producer ??= this.#started(new Producer({ nameServers: this.address, group: 'tandemmq-test' }))
    return (await this.#producer).send(message)
  }

  /** Every message of a topic still there, in the order of storing. A topic nobody made is empty. */
  sent(topic: string): SentMessage[]
  /** `body` is what was sent, whoever sent it: the type is the topic's promise, not checked here. */
  sent<In>(topic: Topic<In, unknown, unknown>): SentMessage<In>[]
  sent(topic: string | Topic): SentMessage[] {
    return this.#broker.messages(isTopic(topic) ? topic.name : topic).map(sentMessageOf)
  }

  /**
   * Resolves when every connected consumer has finished and committed all there was, also what its handlers sent, and no
   * transaction is undecided. Delayed messages and retries are not waited for: {@link advance} to them.
   * @param options.timeoutMs of the machine's clock, default 10,000
   * @throws {TandemError} REQUEST_TIMEOUT naming what is not finished
   */
  async settled(options: { timeoutMs?: number } = {}): Promise<void> {
    const deadline = systemClock.monotonic() + (options.timeoutMs ?? 10_000)
    this.#admin ??= this.#started(new Admin({ nameServers: this.address }))
    const admin = await this.#admin
    for (;;) {
      const endOffset = this.#broker.stats().store.endOffset
      const unfinished = await this.#unfinished(admin)
      // Whatever was stored meanwhile was not looked at.
      const isStill = this.#broker.stats().store.endOffset === endOffset
      if (unfinished === undefined && isStill) return
      if (systemClock.monotonic() > deadline) {
        throw new TandemError('REQUEST_TIMEOUT', `not settled: ${unfinished ?? 'messages keep coming'}`)
      }
      await sleep(systemClock, POLL_MS)
    }
  }

  async #unfinished(admin: Admin): Promise<string | undefined> {
    const { pending } = this.#broker.stats().transactions
    if (pending > 0) return `${pending} half messages are undecided`
    for (const group of await admin.groups()) {
      const { members, messageModel } = await admin.consumerConnections(group)
      // Who broadcasts keeps its positions to itself.
      if (members.length === 0 || messageModel === 'BROADCASTING') continue
      for (const { topic, queueId, committedOffset, maxOffset } of await admin.progress(group)) {
        if (committedOffset >= maxOffset) continue
        return `group ${group} is ${maxOffset - committedOffset} messages behind in queue ${queueId} of ${topic}`
      }
    }
    return undefined
  }

  async #started<T extends { start(): Promise<void> }>(client: T): Promise<T> {
    await client.start()
    return client
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await Promise.allSettled([this.#producer?.then((one) => one.close()), this.#admin?.then((one) => one.close())])
    try {
      await this.#broker.close()
    } finally {
      this.#cleanUp()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
