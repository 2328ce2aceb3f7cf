import { GROUP_LENGTH_MAX } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { KnownClients } from './known-clients.ts'
import { type Member, MemberTable } from './member-table.ts'

/** Which clients produce for which group: whom a check-back can ask. */
export class ProducerGroups {
  readonly #clock: Clock
  readonly #members: MemberTable<Member>
  readonly #clients = new KnownClients()
  /** A producer joined: open transactions of its group have somebody to ask. Set by the broker. */
  onJoined: ((group: string) => void) | undefined = undefined

  /** @param options.channelExpiryMs ms without heartbeat after which a producer is gone, default 120,000 */
  constructor(options: { clock: Clock; channelExpiryMs?: number }) {
    this.#clock = options.clock
    this.#members = new MemberTable(options)
  }

  /**
   * A heartbeat, or a request that names the group, came through `connection`.
   * @throws {BrokerError} GROUP_NAME_INVALID above 255 characters; others than for consumers are as welcome as with a stock broker
   */
  register(group: string, connection: Connection, clientId: string, language: number, version: number): void {
    const known = this.#members.get(group, connection.id)
    if (known?.clientId === clientId) {
      known.lastSeenAt = this.#clock.monotonic()
      known.language = language
      known.version = version
      return
    }
    if (group.length > GROUP_LENGTH_MAX) {
      const detail = `the group name has ${group.length} characters, at most ${GROUP_LENGTH_MAX} are allowed`
      throw new BrokerError('GROUP_NAME_INVALID', detail)
    }
    this.#clients.note(connection.id, clientId)
    this.#members.add(group, { connection, clientId, language, version, lastSeenAt: this.#clock.monotonic() })
    this.onJoined?.(group)
  }

  unregister(group: string, connection: Connection): void {
    this.#members.remove(group, connection.id)
  }

  connectionClosed(connection: Connection): void {
    this.#members.connectionClosed(connection.id)
  }

  /** The client that once sent through this connection, through its newest one; undefined when it is gone. */
  successor(group: string, connectionId: number): Member | undefined {
    const members = this.#members.membersOf(group)
    if (members === undefined || connectionId < 0) return undefined
    const member = members.get(connectionId) ?? members.get(this.#clients.successorOf(connectionId))
    return member?.connection.isOpen ? member : undefined
  }

  /** By connection id; in the order they came. */
  membersOf(group: string): ReadonlyMap<number, Member> | undefined {
    return this.#members.membersOf(group)
  }

  /** Live producers of the group; empty when there is none. */
  members(group: string): Member[] {
    return [...(this.#members.membersOf(group)?.values() ?? [])]
  }

  /** Wall clock ms of the last sign of life. */
  lastSeenAt(member: Member): number {
    return this.#clock.now() - Math.round(this.#clock.monotonic() - member.lastSeenAt)
  }

  groups(): string[] {
    return this.#members.groups()
  }

  close(): void {
    this.#members.close()
  }
}
