import type { Clock, Connection, Timer } from '@tandemmq/remoting'

/** A client of a group, known by the connection its heartbeats come through. */
export interface Member {
  readonly connection: Connection
  readonly clientId: string
  /** LanguageCode of its last heartbeat. */
  language: number
  /** RocketMQ version number of its last heartbeat. */
  version: number
  /** Monotonic ms. */
  lastSeenAt: number
}

/** How long between two looks for silent members, as a stock broker does it. */
const SWEEP_INTERVAL_MS = 10_000

/**
 * Members of many groups, found by group, by connection and by age. A member leaves when it says so, when its connection
 * closes, or when no heartbeat came for `channelExpiryMs`.
 */
export class MemberTable<M extends Member> {
  readonly #clock: Clock
  readonly #channelExpiryMs: number
  readonly #groups = new Map<string, Map<number, M>>()
  readonly #groupsOf = new Map<number, Set<string>>()
  readonly #onLeft: ((group: string, member: M, isFarewell: boolean) => void) | undefined
  #timer: Timer | undefined

  /**
   * @param options.channelExpiryMs default 120,000; Infinity trusts the connection alone
   * @param options.onLeft called after each removal, if given; `isFarewell`: the member said so itself
   */
  constructor(options: {
    clock: Clock
    channelExpiryMs?: number
    onLeft?: (group: string, member: M, isFarewell: boolean) => void
  }) {
    this.#clock = options.clock
    this.#channelExpiryMs = options.channelExpiryMs ?? 120_000
    this.#onLeft = options.onLeft
  }

  /** By connection id; in the order they came. */
  membersOf(group: string): ReadonlyMap<number, M> | undefined {
    return this.#groups.get(group)
  }

  groups(): string[] {
    return [...this.#groups.keys()]
  }

  /** Groups this connection is a member of. */
  groupsOf(connectionId: number): string[] {
    return [...(this.#groupsOf.get(connectionId) ?? [])]
  }

  get(group: string, connectionId: number): M | undefined {
    return this.#groups.get(group)?.get(connectionId)
  }

  /** A client that came back through a new connection replaces its old self without having left. */
  add(group: string, member: M): void {
    let members = this.#groups.get(group)
    if (members === undefined) this.#groups.set(group, (members = new Map()))
    for (const other of members.values()) {
      if (other.clientId === member.clientId && other.connection !== member.connection) {
        members.delete(other.connection.id)
        this.#groupsOf.get(other.connection.id)?.delete(group)
      }
    }
    members.set(member.connection.id, member)
    let groups = this.#groupsOf.get(member.connection.id)
    if (groups === undefined) this.#groupsOf.set(member.connection.id, (groups = new Set()))
    groups.add(group)
    this.#arm()
  }

  /** The member said that it goes. @returns it, undefined when there was none */
  remove(group: string, connectionId: number): M | undefined {
    return this.#remove(group, connectionId, true)
  }

  #remove(group: string, connectionId: number, isFarewell: boolean): M | undefined {
    const members = this.#groups.get(group)
    const member = members?.get(connectionId)
    if (members === undefined || member === undefined) return undefined
    members.delete(connectionId)
    if (members.size === 0) this.#groups.delete(group)
    const groups = this.#groupsOf.get(connectionId)
    groups?.delete(group)
    if (groups?.size === 0) this.#groupsOf.delete(connectionId)
    this.#onLeft?.(group, member, isFarewell)
    return member
  }

  connectionClosed(connectionId: number): void {
    for (const group of this.#groupsOf.get(connectionId) ?? []) this.#remove(group, connectionId, false)
    this.#groupsOf.delete(connectionId)
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#channelExpiryMs === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.setTimer(Math.min(SWEEP_INTERVAL_MS, this.#channelExpiryMs), () => this.#sweep())
  }

  #sweep(): void {
    this.#timer = undefined
    const oldest = this.#clock.monotonic() - this.#channelExpiryMs
    for (const [group, members] of this.#groups) {
      for (const member of members.values()) {
        if (member.lastSeenAt < oldest) this.#remove(group, member.connection.id, false)
      }
    }
    if (this.#groups.size > 0) this.#arm()
  }
}
