import { type CommandInit, crc32Of, RequestCode, ResponseCode } from '@tandemmq/protocol'
import type { Connection, RemotingClient, Timer } from '@tandemmq/remoting'
import { normalizeHost } from '@tandemmq/remoting'
import type { RegistrarOptions, RegistrationTable } from './broker-registrar.ts'

const INTERVAL_MS = 30_000
const REQUEST_TIMEOUT_MS = 3_000
const LEAVE_TIMEOUT_MS = 1_000
const RETRY_FIRST_MS = 1_000
const RETRY_MAX_MS = 30_000
const CRC_MASK = 0x7fffffff
/** A table above this is sent again only when the name server says that its own is older (322). */
const ASK_FIRST_BYTES = 64 << 10
/** Numbers of RocketMQ's MQVersion: 5.3.3. */
const BROKER_VERSION = 479

/** Our registration with one name server. */
export class NameServerLink {
  readonly address: string
  readonly #remoting: RemotingClient
  readonly #table: RegistrationTable
  readonly #options: RegistrarOptions
  /** The connection the name server knows us by; our entry there ends with it. */
  #connection: Connection | undefined
  #registeredAs = ''
  readonly #pending = new Set<string>()
  /** The next registration carries everything. */
  #isStale = true
  #failures = 0
  #running: Promise<void> | undefined
  #timer: Timer | undefined
  #isOver = false

  constructor(address: string, remoting: RemotingClient, table: RegistrationTable, options: RegistrarOptions) {
    this.address = address
    this.#remoting = remoting
    this.#table = table
    this.#options = options
  }

  get isRegistered(): boolean {
    return this.#connection?.isOpen === true
  }

  changed(topic: string, isDeleted: boolean): void {
    this.#pending.add(topic)
    // What is gone can only be told by a table that lacks it.
    if (isDeleted) this.#isStale = true
  }

  /** Tells what the name server does not know, or that we are alive. Never rejects; a run under way takes new changes along. */
  register(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    this.#running ??= this.#run()
    return this.#running
  }

  /** As register, when there is anything to tell. */
  settled(): Promise<void> {
    if (this.#pending.size > 0 || this.#isStale) return this.register()
    return this.#running ?? Promise.resolve()
  }

  connectionClosed(connection: Connection): void {
    if (connection !== this.#connection) return
    this.#connection = undefined
    if (this.#isOver) return
    this.#options.log(`name server ${this.address} closed the connection`)
    this.#again(RETRY_FIRST_MS)
  }

  /** UNREGISTER_BROKER 104, so that clients do not look for us. Never rejects. */
  async leave(): Promise<void> {
    this.#isOver = true
    this.#timer?.cancel()
    const connection = this.#connection
    if (connection?.isOpen !== true) return
    const init = this.#init(RequestCode.UNREGISTER_BROKER, this.#registeredAs)
    await connection.request(init, LEAVE_TIMEOUT_MS).catch(() => undefined)
  }

  async #run(): Promise<void> {
    this.#timer?.cancel()
    let delayMs = this.#options.intervalMs ?? INTERVAL_MS
    do {
      try {
        await this.#once()
        this.#failures = 0
      } catch (error) {
        this.#isStale = true
        if (this.#failures++ === 0 && !this.#isOver) {
          const why = error instanceof Error ? error.message : String(error)
          this.#options.log(`not registered with name server ${this.address}: ${why}`)
        }
        delayMs = Math.min(RETRY_FIRST_MS * 2 ** Math.min(this.#failures - 1, 10), RETRY_MAX_MS, delayMs)
        break
      }
    } while (this.#pending.size > 0 && !this.#isOver)
    this.#running = undefined
    this.#again(delayMs)
  }

  async #once(): Promise<void> {
    const connection = await this.#remoting.connection(this.address)
    if (this.#isOver) return
    const address = this.#table.addressFrom(normalizeHost(connection.localAddress))
    const isNew = connection !== this.#connection
    if (isNew) this.#isStale = true
    if (!this.#isStale && this.#pending.size === 0 && (await this.#isUpToDate(connection, address))) return
    const all = this.#isStale || this.#pending.size === 0
    const names = new Set(this.#pending)
    this.#pending.clear()
    this.#isStale = false
    const { body, compressed } = all ? this.#table.complete : { body: this.#table.of(names), compressed: false }
    const answer = await connection.request(
      this.#init(RequestCode.REGISTER_BROKER, address, {
        body,
        extFields: {
          haServerAddr: address,
          enableActingMaster: false,
          compressed,
          bodyCrc32: crc32Of(body, 0, body.length) & CRC_MASK,
          completeTable: all,
          instanceId: this.#options.instanceId,
        },
      }),
      REQUEST_TIMEOUT_MS,
    )
    if (answer.code !== ResponseCode.SUCCESS) throw new Error(answer.remark ?? `it answered ${answer.code}`)
    if (!connection.isOpen) throw new Error('it closed the connection')
    this.#connection = connection
    this.#registeredAs = address
    if (isNew) this.#options.log(`registered with name server ${this.address} as ${address}`)
  }

  /** Large tables only: is there anything the name server does not have? Asking counts as a sign of life. */
  async #isUpToDate(connection: Connection, address: string): Promise<boolean> {
    if (this.#table.complete.body.length <= ASK_FIRST_BYTES) return false
    const body = Buffer.from(JSON.stringify(this.#table.version))
    const init = this.#init(RequestCode.QUERY_DATA_VERSION, address, { body })
    const answer = await connection.request(init, REQUEST_TIMEOUT_MS)
    return answer.code === ResponseCode.SUCCESS && answer.extFields['changed'] === 'false'
  }

  #init(code: number, brokerAddr: string, more: Pick<CommandInit, 'body' | 'extFields'> = {}): CommandInit {
    const { brokerName, clusterName } = this.#options
    const extFields = { brokerName, brokerAddr, clusterName, brokerId: 0, ...more.extFields }
    return { code, version: BROKER_VERSION, extFields, ...(more.body === undefined ? {} : { body: more.body }) }
  }

  #again(delayMs: number): void {
    if (this.#isOver || this.#running !== undefined) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.setTimer(delayMs, () => void this.register())
  }
}
