import type { CommandInit, HeaderView, RemotingCommand } from '@tandemmq/protocol'
import { LanguageCode, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Clock, Connection, ConnectionOwner, Timer } from '@tandemmq/remoting'
import { RemotingClient } from '@tandemmq/remoting'
import { jittered } from '../back-off.ts'
import { ClientError, errorOfAnswer, messageOf, toClientError } from '../client-error.ts'
import type { Logger } from '../logger.ts'
import type { ClientSettings } from '../options.ts'
import type { Membership } from './heartbeat.ts'
import { heartbeatBody, RECONNECT_MAX_MS } from './heartbeat.ts'
import { NameServers } from './name-servers.ts'
import { RouteDoubts } from './route-doubts.ts'
import { RouteTable } from './route-table.ts'
import type { BrokerData } from './route.ts'

/** What a class built on the core is to the brokers. */
export interface ClientRole {
  membership(): Membership
  /** A request of the broker on our own connection; false = not known here, answered with code 3. */
  onRequest(connection: Connection, header: HeaderView): boolean
  /** A younger program lives under our client id: we are no member any more. */
  onTaken?(reason: ClientError): void
  /** A broker took our heartbeat. */
  onHeartbeat?(answer: RemotingCommand, connection: Connection): void
}

const RECONNECT_FIRST_MS = 200
const UNREGISTER_TIMEOUT_MS = 1_000

/**
 * The part every class shares: one set of connections, routes, and membership. A connection to a broker carries a
 * heartbeat before anything else, so that after a reconnect the broker knows us when the next request arrives.
 */
export class ClientCore implements ConnectionOwner {
  readonly settings: ClientSettings
  readonly clock: Clock
  readonly logger: Logger
  readonly routes: RouteTable
  readonly doubts: RouteDoubts
  readonly #nameServers: NameServers
  readonly #remoting: RemotingClient
  readonly #role: ClientRole
  readonly #open = new Map<string, Connection>()
  readonly #registered = new WeakSet<Connection>()
  readonly #reconnects = new Map<string, Timer>()
  readonly #lost = new Set<string>()
  #timers: Timer[] = []
  #state: 'new' | 'started' | 'closed' = 'new'
  #startedAt = 0
  #reconnectedAt = Number.NEGATIVE_INFINITY

  constructor(settings: ClientSettings, role: ClientRole) {
    this.settings = settings
    this.clock = settings.clock
    this.logger = settings.logger
    this.#role = role
    this.#remoting = new RemotingClient({
      clock: settings.clock,
      network: settings.network,
      owner: this,
      language: LanguageCode.NODE_JS,
      onError: (error) => settings.logger.error(`handling input failed: ${messageOf(error)}`, error),
    })
    this.routes = new RouteTable(this, settings.logger)
    const { clock, logger } = settings
    this.doubts = new RouteDoubts({ clock, logger, routes: this.routes, isOpen: () => this.isStarted })
    this.#nameServers = new NameServers(settings.nameServers, settings.clock)
  }

  get isStarted(): boolean {
    return this.#state === 'started'
  }

  /** A connection to a broker is open on which this client is registered. */
  get isConnected(): boolean {
    return [...this.#open.values()].some((connection) => connection.isOpen && this.#registered.has(connection))
  }

  /** Monotonic ms when a broker was last reached again that had been lost; its other clients may still be on their way. */
  get reconnectedAt(): number {
    return this.#reconnectedAt
  }

  /** Starts the periodic work. Connects to nobody yet. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'started'
    this.#startedAt = this.clock.now()
    this.#every(this.settings.heartbeatIntervalMs, () => this.heartbeat().then(() => undefined))
    this.#every(this.settings.routeRefreshMs, () => this.routes.refresh())
  }

  /** @throws {ClientError} NOT_STARTED, CLOSED */
  requireStarted(): void {
    const error = this.#stateError()
    if (error !== undefined) throw error
  }

  /** An open connection on which this client is registered; undefined = call connect. */
  registeredConnection(address: string): Connection | undefined {
    const connection = this.#open.get(address)
    return connection?.isOpen && this.#registered.has(connection) ? connection : undefined
  }

  /** @throws {ClientError} CONNECT_FAILED, NOT_STARTED, CLOSED */
  async connect(address: string): Promise<Connection> {
    this.requireStarted()
    const connection = await this.#remoting.connection(address).catch((error: unknown) => {
      throw toClientError(error, `connect to ${address}`)
    })
    this.#open.set(address, connection)
    if (!this.#registered.has(connection) && this.routes.isBroker(address)) {
      this.#registered.add(connection)
      if (this.#lost.delete(address)) this.#reconnectedAt = this.clock.monotonic()
      // Not awaited: the broker reads it before whatever follows on this connection.
      this.#sendHeartbeat(connection).catch((error: unknown) =>
        this.logger.warn(`heartbeat to ${address} failed: ${messageOf(error)}`),
      )
    }
    return connection
  }

  /** One request, any answer. @throws {ClientError} CONNECT_FAILED, CONNECTION_CLOSED, REQUEST_TIMEOUT, ABORTED */
  async request(
    address: string,
    init: CommandInit,
    timeoutMs = this.settings.requestTimeoutMs,
    signal?: AbortSignal,
  ): Promise<RemotingCommand> {
    const connection = this.registeredConnection(address) ?? (await this.connect(address))
    return connection.request(init, timeoutMs, signal).catch((error: unknown) => {
      throw toClientError(error, `request ${init.code} to ${address}`)
    })
  }

  /** As request, and the answer must be a success. */
  async ask(address: string, init: CommandInit, doing: string, timeoutMs?: number): Promise<RemotingCommand> {
    const answer = await this.request(address, init, timeoutMs)
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, doing)
    return answer
  }

  /** Sent when connected, forgotten otherwise. */
  oneway(address: string, init: CommandInit): void {
    this.registeredConnection(address)?.oneway(init)
  }

  /**
   * Keeps to one name server while it answers, then takes the next.
   * @param isFinal false: another one may know more; the answer counts when none does
   */
  async askNameServer(
    init: CommandInit,
    isFinal: (answer: RemotingCommand) => boolean = () => true,
  ): Promise<RemotingCommand> {
    let answered: RemotingCommand | undefined
    let last: unknown
    for (const address of this.#nameServers.order()) {
      // A second opinion is not worth the time-out of one that is probably dead.
      if (answered !== undefined && this.#nameServers.rests(address)) break
      try {
        const answer = await this.request(address, init)
        if (isFinal(answer)) {
          this.#nameServers.answered(address)
          return answer
        }
        answered ??= answer
      } catch (error) {
        if (this.#state === 'closed') throw error
        this.#nameServers.failed(address)
        last = error
      }
    }
    if (answered !== undefined) return answered
    throw toClientError(last, 'ask the name servers')
  }

  /**
   * What every name server must be told itself, because they do not tell one another.
   * @returns the answers of those that can be reached
   * @throws {ClientError} when none can
   */
  async askEveryNameServer(init: CommandInit): Promise<RemotingCommand[]> {
    const outcomes = await Promise.allSettled(this.#nameServers.all.map((address) => this.request(address, init)))
    const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) {
      if (answers.length === 0) throw toClientError(failure.reason, 'ask the name servers')
      this.logger.warn(`a name server was not told: ${messageOf(failure.reason)}`)
    }
    return answers
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND when no route named this broker */
  brokerAddress(brokerName: string): string {
    const address = this.routes.addressOf(brokerName)
    if (address === undefined) throw new ClientError('ROUTE_NOT_FOUND', `no address of broker ${brokerName}`)
    return address
  }

  /** Of the brokers that are registered now. */
  brokerAddresses(): string[] {
    return addressesOf(this.routes.brokers())
  }

  /** Also of brokers that were registered once and have left since: they may come back with what they hold. */
  everyBrokerAddress(): string[] {
    return addressesOf(this.routes.everyBroker())
  }

  /** Tells every known broker about this client now. Resolves with the failures; they are also logged. */
  async heartbeat(): Promise<ClientError[]> {
    const failures: ClientError[] = []
    await Promise.all(
      this.brokerAddresses().map(async (address) => {
        try {
          const known = this.registeredConnection(address)
          const connection = known ?? (await this.connect(address))
          await this.#sendHeartbeat(connection)
        } catch (error) {
          failures.push(toClientError(error, `heartbeat to ${address}`))
          if (this.#state === 'started') this.logger.warn(`heartbeat to ${address} failed: ${messageOf(error)}`)
        }
      }),
    )
    return failures
  }

  onRequest(connection: Connection, header: HeaderView): void {
    try {
      if (this.#role.onRequest(connection, header) || header.isOneway) return
      connection.reply(header, {
        code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        remark: ` request type ${header.code} not supported`,
      })
    } catch (error) {
      this.logger.warn(`request ${header.code} of the broker failed: ${messageOf(error)}`)
      if (!header.isOneway) {
        connection.reply(header, { code: ResponseCode.SYSTEM_ERROR, remark: messageOf(error) })
      }
    }
  }

  onClosed(connection: Connection): void {
    for (const [address, open] of this.#open) {
      if (open !== connection) continue
      this.#open.delete(address)
      if (this.#state !== 'started' || !this.#registered.has(connection)) continue
      this.#lost.add(address)
      this.#reconnect(address, RECONNECT_FIRST_MS)
    }
  }

  /** Leaves the groups and closes the connections. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const leaving = this.#state === 'started' ? this.#unregister() : undefined
    for (const timer of [...this.#timers, ...this.#reconnects.values()]) timer.cancel()
    this.#state = 'closed'
    this.doubts.close()
    await leaving
    await this.#remoting.close()
  }

  async #sendHeartbeat(connection: Connection): Promise<void> {
    const membership = this.#role.membership()
    if (membership.producers.length + membership.consumers.length === 0) return
    const body = heartbeatBody(this.settings.clientId, this.#startedAt, membership)
    const answer = await connection.request({ code: RequestCode.HEART_BEAT, body }, this.settings.requestTimeoutMs)
    if (answer.code === ResponseCode.SUCCESS) return this.#role.onHeartbeat?.(answer, connection)
    const refused = errorOfAnswer(answer.code, answer.remark, 'heartbeat')
    if (refused.code === 'CLIENT_ID_TAKEN') this.#role.onTaken?.(refused)
    throw refused
  }

  async #unregister(): Promise<void> {
    const { producers, consumers, absenceMs = 0 } = this.#role.membership()
    const leave = [
      ...producers.map((producerGroup) => ({ producerGroup })),
      // Who means to come back keeps its queues by not saying that it goes.
      ...(absenceMs > 0 ? [] : consumers.map((consumer) => ({ consumerGroup: consumer.groupName }))),
    ]
    const requests: Promise<unknown>[] = []
    for (const connection of this.#open.values()) {
      if (!connection.isOpen || !this.#registered.has(connection)) continue
      for (const group of leave) {
        const extFields = { clientID: this.settings.clientId, ...group }
        const init = { code: RequestCode.UNREGISTER_CLIENT, extFields }
        requests.push(
          connection
            .request(init, Math.min(UNREGISTER_TIMEOUT_MS, this.settings.requestTimeoutMs))
            // The broker notices the closed connection anyway.
            .catch((error: unknown) => this.logger.debug(`unregister failed: ${messageOf(error)}`)),
        )
      }
    }
    await Promise.all(requests)
  }

  /** Comes back by itself, because a broker can only ask or notify a client that is connected. */
  #reconnect(address: string, delayMs: number): void {
    if (this.#state !== 'started') return
    this.#reconnects.get(address)?.cancel()
    // Those that lost the same broker together must not all come back in the same moment.
    const timer = this.clock.setTimer(jittered(this.clock, delayMs), () => {
      this.#reconnects.delete(address)
      if (this.#state !== 'started' || !this.brokerAddresses().includes(address)) return
      this.connect(address).catch((error: unknown) => {
        this.logger.debug(`reconnect to ${address} failed: ${messageOf(error)}`)
        this.#reconnect(address, Math.min(delayMs * 2, RECONNECT_MAX_MS))
      })
    })
    this.#reconnects.set(address, timer)
  }

  #every(intervalMs: number, work: () => Promise<void>): void {
    const index = this.#timers.length
    const run = (): void => {
      if (this.#state !== 'started') return
      work()
        .catch((error: unknown) => this.logger.warn(`periodic work failed: ${messageOf(error)}`))
        .finally(() => this.#state === 'started' && arm())
    }
    // A process that only consumes, or waits for a send, must outlive the time its broker is away.
    const arm = (): void => void (this.#timers[index] = this.clock.setTimer(intervalMs, run, true))
    arm()
  }

  #stateError(): ClientError | undefined {
    if (this.#state === 'new') return new ClientError('NOT_STARTED', 'call start() first')
    if (this.#state === 'closed') return new ClientError('CLOSED', 'this client is closed')
    return undefined
  }
}

function addressesOf(brokers: readonly BrokerData[]): string[] {
  return [...new Set(brokers.flatMap(({ address }) => address ?? []))]
}
