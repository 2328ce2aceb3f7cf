import { GROUP_LENGTH_MAX } from '@tandemmq/protocol'
import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { type Member, MemberTable } from './member-table.ts'

/** Which clients produce for which group: whom a check-back can ask. */
export class ProducerGroups {
  readonly #clock: Clock
  readonly #members: MemberTable<Member>
  readonly #turn = new Map<string, number>()
  /** A producer joined: open transactions of its group have somebody to ask. Set by the broker. */
  onJoined: ((group: string) => void) | undefined = undefined

  /** @param options.channelExpiryMs ms without heartbeat after which a producer is gone, default 120,000 */
  constructor(options: { clock: Clock; channelExpiryMs?: number }) {
    this.#clock = options.clock
    this.#members = new MemberTable({
      ...options,
      onLeft: (group) => {
        if (this.#members.membersOf(group) === undefined) this.#turn.delete(group)
      },
    })
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
    this.#members.add(group, { connection, clientId, language, version, lastSeenAt: this.#clock.monotonic() })
    this.onJoined?.(group)
  }

  unregister(group: string, connection: Connection): void {
    this.#members.remove(group, connection.id)
  }

  connectionClosed(connection: Connection): void {
    this.#members.connectionClosed(connection.id)
  }

  /**
   * Whom to ask about a half message: the producer that sent it while it lives, else the others of its group in turn.
   * @param connectionId of the connection the half message came through, -1 when not known any more
   */
  pick(group: string, connectionId: number): Connection | undefined {
    const members = this.#members.membersOf(group)
    if (members === undefined) return undefined
    const first = members.get(connectionId)
    if (first?.connection.isOpen) return first.connection
    const open = [...members.values()].filter((member) => member.connection.isOpen)
    if (open.length === 0) return undefined
    const turn = (this.#turn.get(group) ?? -1) + 1
    this.#turn.set(group, turn)
    return open[turn % open.length]?.connection
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
