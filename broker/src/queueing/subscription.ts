import { tagHash } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { ByteTable } from './byte-table.ts'
import type { SqlExpression } from './sql/index.ts'

/**
 * Which messages of a queue a subscription wants, decided on the 32-bit tag hash in the consume queue alone. Different
 * tags may share a hash, so a consumer still compares the text (broker.md 2.5).
 */
export class TagFilter {
  readonly kind = 'tag'
  /** Undefined = every message, with or without tag. */
  readonly codes: ReadonlySet<number> | undefined

  constructor(codes: ReadonlySet<number> | undefined) {
    this.codes = codes
  }

  matches(tagsCode: number): boolean {
    return this.codes === undefined || this.codes.has(tagsCode)
  }
}

/** By tags the queue entry decides, by SQL92 the record's properties. */
export type MessageFilter = TagFilter | SqlExpression

export const everything = new TagFilter(undefined)

/** What a client said it wants of one topic. */
export interface Subscription {
  topic: string
  /** `TAG` or `SQL92`. */
  expressionType: string
  /** `*`, or tags joined by `||`. */
  text: string
  /** The client's clock in ms when it last changed it; 0 = no version. */
  version: number
  /** Or why there is none: pulls are then refused with that. */
  filter: MessageFilter | BrokerError
  tags: string[]
  codes: number[]
}

/** The tags of `a || b`; empty for `*` and the empty text, which want everything. */
export function tagsOf(text: string): string[] {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === '*') return []
  return trimmed
    .split('||')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
}

export function hashOfTag(tag: string): number {
  const bytes = Buffer.from(tag)
  return tagHash(bytes, 0, bytes.length)
}

/**
 * @param moreCodes hashes the client computed itself: Go's differ from Java's outside ASCII (remoting.md 13.10), and a
 *   filter that lets too much through is repaired by the client, one that lets too little through loses messages
 * @throws {BrokerError} SUBSCRIPTION_INVALID when the text names no tag at all, e.g. `||`
 */
export function tagFilter(text: string, moreCodes: readonly number[] = []): TagFilter {
  const tags = tagsOf(text)
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === '*') return everything
  if (tags.length === 0) throw new BrokerError('SUBSCRIPTION_INVALID', `"${text}" names no tag`)
  return new TagFilter(new Set([...tags.map(hashOfTag), ...moreCodes]))
}

/** @throws {BrokerError} SUBSCRIPTION_INVALID */
export function refuseExpressionType(expressionType: string): never {
  throw new BrokerError('SUBSCRIPTION_INVALID', `expression type ${expressionType} is neither TAG nor SQL92`)
}

/** Tag filters of the subscription texts that come inside pulls, by their bytes; emptied when full. */
export class FilterCache {
  readonly #byText = new ByteTable<TagFilter>()
  readonly #entriesMax: number

  constructor(entriesMax = 4096) {
    this.#entriesMax = entriesMax
  }

  get size(): number {
    return this.#byText.size
  }

  /** @throws {BrokerError} SUBSCRIPTION_INVALID */
  of(bytes: Buffer, start: number, end: number): TagFilter {
    const known = this.#byText.find(bytes, start, end)
    if (known !== undefined) return known
    const key = Buffer.from(bytes.subarray(start, end))
    const filter = tagFilter(key.toString('utf8'))
    if (this.#byText.size >= this.#entriesMax) this.#byText.clear()
    this.#byText.set(key, filter)
    return filter
  }
}
