import { sleep } from '@tandemmq/remoting'
import { ClientError, messageOf, toClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import { sharedController } from '../shared-signal.ts'
import type { PullAnswer } from './pull-request.ts'

export interface StreamOptions {
  readonly core: ClientCore
  /** Any of them aborted: the stream ends. */
  readonly signals: readonly AbortSignal[]
  open(): Promise<readonly { queue: MessageQueue; offset: number }[]>
  pull(
    queue: MessageQueue,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ answer: PullAnswer; messages: ConsumedMessage[] }>
}

const ERROR_PAUSE_MS = 1_000
const NOT_HELD_MS = 10
const NOT_HELD_PAUSE_MS = 100

/** Messages of several queues as one async iterator; each queue is pulled again when its last batch was taken. */
export class MessageStream implements AsyncIterableIterator<ConsumedMessage> {
  readonly #options: StreamOptions
  readonly #ended = sharedController()
  #batches: { messages: ConsumedMessage[]; at: number; taken: () => void }[] = []
  #waiting: { resolve(result: IteratorResult<ConsumedMessage>): void; reject(error: unknown): void }[] = []
  #isOpened = false
  #failure: ClientError | undefined
  #end = (): void => this.#finish()

  constructor(options: StreamOptions) {
    this.#options = options
    for (const signal of options.signals) {
      if (signal.aborted) this.#finish()
      else signal.addEventListener('abort', this.#end, { once: true })
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<ConsumedMessage>> {
    const message = this.#take()
    if (message !== undefined) return Promise.resolve({ done: false, value: message })
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended.signal.aborted) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      if (this.#isOpened) return
      this.#isOpened = true
      this.#open().catch((error: unknown) => this.#fail(error))
    })
  }

  return(): Promise<IteratorResult<ConsumedMessage>> {
    this.#finish()
    return Promise.resolve({ done: true, value: undefined })
  }

  async #open(): Promise<void> {
    try {
      for (const { queue, offset } of await this.#options.open()) {
        this.#pullLoop(queue, offset).catch((error: unknown) => this.#fail(error))
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  async #pullLoop(queue: MessageQueue, start: number): Promise<void> {
    const { core, pull } = this.#options
    const { signal } = this.#ended
    let offset = start
    while (!signal.aborted) {
      let pauseMs = 0
      try {
        const asked = core.clock.monotonic()
        const { answer, messages } = await pull(queue, offset, signal)
        offset = answer.nextOffset
        if (messages.length > 0) await this.#offer(messages)
        else if (answer.status === 'none' && core.clock.monotonic() - asked < NOT_HELD_MS) pauseMs = NOT_HELD_PAUSE_MS
      } catch (error) {
        if (signal.aborted) return
        if (isFinal(error)) throw error
        core.logger.warn(`pull of ${queue.topic} queue ${queue.queueId} failed: ${messageOf(error)}`)
        pauseMs = ERROR_PAUSE_MS
      }
      if (pauseMs > 0) await sleep(core.clock, pauseMs, signal).catch(() => undefined)
    }
  }

  /** Resolves when the last of them was taken. */
  #offer(messages: ConsumedMessage[]): Promise<void> {
    if (this.#ended.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#batches.push({ messages, at: 0, taken: resolve })
      while (this.#waiting.length > 0) {
        const message = this.#take()
        if (message === undefined) return
        this.#waiting.shift()?.resolve({ done: false, value: message })
      }
    })
  }

  #take(): ConsumedMessage | undefined {
    const batch = this.#batches[0]
    if (batch === undefined) return undefined
    const message = batch.messages[batch.at++]
    if (batch.at === batch.messages.length) {
      this.#batches.shift()
      batch.taken()
    }
    return message
  }

  #fail(error: unknown): void {
    this.#failure ??= toClientError(error, 'read messages')
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(this.#failure)
    this.#finish()
  }

  #finish(): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort()
    for (const signal of this.#options.signals) signal.removeEventListener('abort', this.#end)
    const batches = this.#batches
    this.#batches = []
    for (const { taken } of batches) taken()
    for (const { resolve } of this.#waiting) resolve({ done: true, value: undefined })
    this.#waiting = []
  }
}

/** What no waiting will cure. */
function isFinal(error: unknown): boolean {
  return error instanceof ClientError && !error.retryable && error.code !== 'GROUP_NOT_EXIST'
}
