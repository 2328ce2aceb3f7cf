import type { Clock, Connection } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import { type Member, MemberTable } from './member-table.ts'
import type { ProducerGroups } from './producer-groups.ts'

const DOMAIN_LENGTH_MAX = 255
const DOMAINS_MAX = 64

/** What decides whom to ask about a half message. */
export interface AskedAbout {
  readonly group: string
  /** Property TANDEM_DOMAIN: which database knows the answer. */
  readonly domain: string | undefined
  /** Connection that brought it, -1 when not known any more. */
  readonly connectionId: number
  /** Hash of the transaction id: halves of one transaction meet the same producer. */
  readonly idHash: number
}

/**
 * Which clients can say what became of the transactions of a domain (one database): they announce it in their heartbeats
 * (field `transactionDomains`), whatever their group is and whether they ever send anything.
 *
 * @see outbox.md 2.5, "Broker duties"
 */
export class ProducerDomains {
  readonly #clock: Clock
  readonly #groups: ProducerGroups
  readonly #members: MemberTable<Member>
  /** Somebody can now be asked about transactions of this domain. Set by the broker. */
  onJoined: ((domain: string) => void) | undefined = undefined
  /** Set by the broker: a producer that does not answer is asked only when there is no other. */
  isSilent: (connectionId: number) => boolean = () => false

  /** @param options.channelExpiryMs ms without heartbeat after which a client is gone, default 120,000 */
  constructor(options: { clock: Clock; groups: ProducerGroups; channelExpiryMs?: number }) {
    this.#clock = options.clock
    this.#groups = options.groups
    this.#members = new MemberTable(options)
  }

  /**
   * A heartbeat came through `connection`: it answers for exactly these domains.
   * @throws {BrokerError} INVALID_PARAMETER for more than 64 of them, an empty one or one above 255 characters
   */
  announce(
    domains: readonly string[],
    connection: Connection,
    client: Pick<Member, 'clientId' | 'language' | 'version'>,
  ): void {
    for (const domain of domains) verify(domain, domains.length)
    for (const domain of this.#members.groupsOf(connection.id)) {
      if (!domains.includes(domain)) this.#members.remove(domain, connection.id)
    }
    for (const domain of domains) {
      const known = this.#members.get(domain, connection.id)
      const lastSeenAt = this.#clock.monotonic()
      if (known?.clientId === client.clientId) {
        known.lastSeenAt = lastSeenAt
        continue
      }
      this.#members.add(domain, { connection, ...client, lastSeenAt })
      this.onJoined?.(domain)
    }
  }

  /** The client leaves. */
  leave(connection: Connection): void {
    for (const domain of this.#members.groupsOf(connection.id)) this.#members.remove(domain, connection.id)
  }

  connectionClosed(connection: Connection): void {
    this.#members.connectionClosed(connection.id)
  }

  /** Whether this connection announced `domain`. */
  answersFor(domain: string | undefined, connectionId: number): boolean {
    return domain !== undefined && this.#members.get(domain, connectionId) !== undefined
  }

  /**
   * Whom to ask: the client that sent the half message, while it lives, every other time, since it may hang or not know;
   * in between, and when it is gone, in turn those that announced the domain, or the producers of the group when the half
   * message has none. A producer of another domain is never asked: it could only say that it does not know.
   * @param turn how often somebody was asked about this half message
   */
  pick(half: AskedAbout, turn: number): Connection | undefined {
    const { domain, group } = half
    const sender = this.#groups.successor(group, half.connectionId)
    const senderIsSilent = sender !== undefined && this.isSilent(sender.connection.id)
    if (sender !== undefined && !senderIsSilent && turn % 2 === 0) return sender.connection
    const members = domain === undefined ? this.#groups.membersOf(group) : this.#members.membersOf(domain)
    const start = domain === undefined ? 0 : half.idHash >>> 8
    const step = start + (sender === undefined || senderIsSilent ? turn : (turn - 1) / 2)
    return this.#nth(members, step, sender, false) ?? sender?.connection ?? this.#nth(members, step, undefined, true)
  }

  /** Live clients that announced the domain. */
  members(domain: string): Member[] {
    return [...(this.#members.membersOf(domain)?.values() ?? [])]
  }

  domains(): string[] {
    return this.#members.groups()
  }

  close(): void {
    this.#members.close()
  }

  #nth(
    members: ReadonlyMap<number, Member> | undefined,
    n: number,
    except: Member | undefined,
    alsoSilent: boolean,
  ): Connection | undefined {
    if (members === undefined) return undefined
    const fits = ({ connection }: Member): boolean =>
      connection.isOpen && connection !== except?.connection && (alsoSilent || !this.isSilent(connection.id))
    let count = 0
    for (const member of members.values()) if (fits(member)) count++
    if (count === 0) return undefined
    let left = n % count
    for (const member of members.values()) if (fits(member) && left-- === 0) return member.connection
    return undefined
  }
}

function verify(domain: string, count: number): void {
  if (count > DOMAINS_MAX) {
    throw new BrokerError('INVALID_PARAMETER', `${count} transaction domains, at most ${DOMAINS_MAX}`)
  }
  if (domain.length === 0 || domain.length > DOMAIN_LENGTH_MAX) {
    const detail = `a transaction domain has 1 to ${DOMAIN_LENGTH_MAX} characters, this one ${domain.length}`
    throw new BrokerError('INVALID_PARAMETER', detail)
  }
}
