import type { ClientCore } from '../cluster/client-core.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { queueKey } from '../cluster/route.ts'
import { commitInit, committedOffset } from './offset-requests.ts'

/** Where a broadcasting consumer keeps its own positions, e.g. a file or a table. Offsets: next message to read. */
export interface BroadcastOffsetStore {
  read(group: string, queue: MessageQueue): Promise<bigint | undefined>
  write(group: string, queue: MessageQueue, offset: bigint): Promise<void>
}

/** Positions of a group. */
export interface OffsetStore {
  read(queue: MessageQueue): Promise<number | undefined>
  /** Resolves when it is stored. @param lockEpoch of the queue's lock, 0 without one */
  write(queue: MessageQueue, offset: number, lockEpoch?: number): Promise<void>
  /** The first position of a group. Kept out where there is one already, as far as the store can tell. */
  begin(queue: MessageQueue, offset: number): Promise<void>
  /** As write, unanswered; used for the periodic commit, where the next one repairs a lost one. */
  writeSoon(queue: MessageQueue, offset: number, lockEpoch?: number): void
}

/** Clustering: the broker keeps them. */
export class BrokerOffsetStore implements OffsetStore {
  readonly #core: ClientCore
  readonly #group: string

  constructor(core: ClientCore, group: string) {
    this.#core = core
    this.#group = group
  }

  read(queue: MessageQueue): Promise<number | undefined> {
    return committedOffset(this.#core, this.#group, queue)
  }

  async write(queue: MessageQueue, offset: number, lockEpoch = 0): Promise<void> {
    const address = this.#core.brokerAddress(queue.brokerName)
    await this.#core.ask(address, commitInit(this.#group, queue, offset, lockEpoch), `commit ${queue.topic}`)
  }

  async begin(queue: MessageQueue, offset: number): Promise<void> {
    const { code, extFields } = commitInit(this.#group, queue, offset)
    const address = this.#core.brokerAddress(queue.brokerName)
    const init = { code, extFields: { ...extFields, onlyIfAbsent: 'true' } }
    await this.#core.ask(address, init, `first position in ${queue.topic}`)
  }

  writeSoon(queue: MessageQueue, offset: number, lockEpoch = 0): void {
    const address = this.#core.routes.addressOf(queue.brokerName)
    if (address !== undefined) this.#core.oneway(address, commitInit(this.#group, queue, offset, lockEpoch))
  }
}

/** Broadcasting: each member keeps its own, in memory unless the application gives a store. */
export class OwnOffsetStore implements OffsetStore {
  readonly #group: string
  readonly #store: BroadcastOffsetStore
  readonly #onError: (error: unknown) => void

  constructor(group: string, store: BroadcastOffsetStore | undefined, onError: (error: unknown) => void) {
    this.#group = group
    this.#store = store ?? new MemoryOffsetStore()
    this.#onError = onError
  }

  async read(queue: MessageQueue): Promise<number | undefined> {
    const offset = await this.#store.read(this.#group, queue)
    return offset === undefined ? undefined : Number(offset)
  }

  write(queue: MessageQueue, offset: number): Promise<void> {
    return this.#store.write(this.#group, queue, BigInt(offset))
  }

  begin(queue: MessageQueue, offset: number): Promise<void> {
    return this.write(queue, offset)
  }

  writeSoon(queue: MessageQueue, offset: number): void {
    this.write(queue, offset).catch(this.#onError)
  }
}

export class MemoryOffsetStore implements BroadcastOffsetStore {
  readonly #offsets = new Map<string, bigint>()

  read(group: string, queue: MessageQueue): Promise<bigint | undefined> {
    return Promise.resolve(this.#offsets.get(`${group} ${queueKey(queue)}`))
  }

  write(group: string, queue: MessageQueue, offset: bigint): Promise<void> {
    this.#offsets.set(`${group} ${queueKey(queue)}`, offset)
    return Promise.resolve()
  }
}
