import type { Journal } from '../state-table.ts'
import type { RetryFlag } from './receipt.ts'

const TABLE = 'popRetryTopics'

/** Where messages of one (group, topic) go whose lease ran out. */
export interface RetryTopic {
  readonly name: string
  readonly flag: RetryFlag
  readonly group: string
  readonly topic: string
}

type Entry = { put: [name: string, group: string, topic: string] } | { drop: string }

/** RocketMQ's first name for it, which clients of every version know. */
export const retryTopicV1 = (group: string, topic: string): string => `%RETRY%${group}_${topic}`
/** Its second name, for where the first one is taken. */
export const retryTopicV2 = (group: string, topic: string): string => `%RETRY%${group}+${topic}`

/**
 * Names of the retry topics of leases (broker.md 5.4). `_` stands in names of groups and topics too, so the first name of two pairs
 * can be the same; whoever comes second gets the second name. Who has which is kept in the journal.
 */
export class RetryTopics {
  readonly #journal: Journal
  readonly #byName = new Map<string, RetryTopic>()
  readonly #byPair = new Map<string, RetryTopic>()

  constructor(options: { journal: Journal }) {
    this.#journal = options.journal
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => [...this.#byName.values()].map(({ name, group, topic }) => ({ put: [name, group, topic] })),
    })
  }

  /** Undefined: no lease of the pair ever ran out. */
  find(group: string, topic: string): RetryTopic | undefined {
    return this.#byPair.get(pairOf(group, topic))
  }

  /** Whose retry topic this is. */
  owner(name: string): RetryTopic | undefined {
    return this.#byName.get(name)
  }

  /** @param isTaken whether a topic of that name is somebody else's already */
  ensure(group: string, topic: string, isTaken: (name: string) => boolean): RetryTopic {
    const known = this.find(group, topic)
    if (known !== undefined) return known
    const first = retryTopicV1(group, topic)
    const name = this.#byName.has(first) || isTaken(first) ? retryTopicV2(group, topic) : first
    this.#journal.append(TABLE, { put: [name, group, topic] } satisfies Entry)
    return this.#put(name, group, topic)
  }

  drop(name: string): void {
    if (!this.#byName.has(name)) return
    this.#remove(name)
    this.#journal.append(TABLE, { drop: name } satisfies Entry)
  }

  #put(name: string, group: string, topic: string): RetryTopic {
    const flag = name === retryTopicV1(group, topic) ? 1 : 2
    const one: RetryTopic = { name, flag, group, topic }
    this.#byName.set(name, one)
    this.#byPair.set(pairOf(group, topic), one)
    return one
  }

  #remove(name: string): void {
    const one = this.#byName.get(name)
    if (one === undefined) return
    this.#byName.delete(name)
    this.#byPair.delete(pairOf(one.group, one.topic))
  }

  #apply(entry: Entry): void {
    if ('put' in entry) this.#put(...entry.put)
    else this.#remove(entry.drop)
  }
}

const pairOf = (group: string, topic: string): string => `${group}+${topic}`
