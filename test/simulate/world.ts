import { createHash } from 'node:crypto'
import type { Broker } from '@tandemmq/broker'
import { FaultDisk } from '@tandemmq/broker/simulation'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import type { HistoryEvent } from '../crash/history.ts'
import { SeededRandom } from '../kit/seeded-random.ts'
import { Machine } from './machine.ts'
import type { Product } from './product.ts'
import { drawSettings, type Settings } from './settings.ts'

export const BROKER = '10.0.0.1'
const ADDRESS = `${BROKER}:9876`
const DATA = '/data'
/** A start that loses its power again is tried so often. */
const STARTS_MAX = 20
const SENT_WHILE_SETTLING = 0.15

type Bare<E> = E extends unknown ? Omit<E, 't' | 'wall' | 'proc'> : never

/** The machines of a simulation, what runs between them, and what they wrote down. */
export class World {
  readonly seed: number
  readonly product: Product
  readonly settings: Settings
  readonly clock: VirtualClock
  readonly network: MemoryNetwork
  readonly events: HistoryEvent[] = []
  /** What no event tells: log lines of broker and clients. */
  readonly trace: string[] | undefined
  /** Programs that ended by an error nobody caught. */
  readonly crashes: string[] = []
  disk: FaultDisk
  broker: Broker | undefined
  /** The storm is over, and what it left is found out: little is sent. */
  isSettling = false
  /** Nothing new is sent. */
  isDraining = false
  isOver = false
  #machine: Machine | undefined
  #ops = 0
  /** The broker's wall clock shows so much more than there was. */
  #wallOffsetMs = 0
  #latestShown = 0
  #brokers = 0

  constructor(options: { seed: number; product: Product; trace?: string[] | undefined }) {
    this.seed = options.seed
    this.product = options.product
    this.trace = options.trace
    this.settings = drawSettings(this.random('settings'))
    this.clock = new VirtualClock({ seed: this.seed })
    this.network = new MemoryNetwork({ clock: this.clock, ...this.settings.network })
    this.disk = new FaultDisk({ seed: this.seed, soon: (callback) => this.clock.soon(callback) })
  }

  /** Chance of one actor: what another one draws does not change it. */
  random(name: string): SeededRandom {
    return new SeededRandom(createHash('sha256').update(`${this.seed} ${name}`).digest().readUInt32LE(0))
  }

  note(proc: string, event: Bare<HistoryEvent>): void {
    // Stamps of the broker never go back, also when its clock does.
    this.#latestShown = Math.max(this.#latestShown, this.brokerNow())
    this.events.push({ t: this.clock.monotonic() * 1e6, wall: this.#latestShown, proc, ...event } as HistoryEvent)
  }

  /** Wall clock of the broker's machine, ms. */
  brokerNow(): number {
    return this.clock.now() + this.#wallOffsetMs
  }

  setBrokerClock(offsetMs: number): void {
    this.note('clock', { event: 'clock', offsetMs })
    this.#wallOffsetMs = offsetMs
  }

  tell(proc: string, text: string): void {
    this.trace?.push(`${this.clock.monotonic().toFixed(2)} ${proc} ${text}`)
  }

  /** Numbers deliveries. */
  nextOp(): number {
    return ++this.#ops
  }

  /** A machine with a program about to start. */
  machine(address: string, life = 0): Machine {
    return new Machine({
      clock: this.clock,
      network: this.network,
      address,
      random: this.random(`machine ${address} ${life}`),
      now: address === BROKER ? () => this.brokerNow() : undefined,
      onCrash: (error) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
        if (address === BROKER && this.disk.isDead) return this.tell(address, text)
        if (this.crashes.length < 5) this.crashes.push(`${address} at ${this.clock.monotonic()} ms: ${text}`)
      },
    })
  }

  /** What every client class takes. */
  clientOptions(machine: Machine, clientId = machine.address) {
    const log = (text: string): void => this.tell(clientId, text)
    return {
      ...this.settings.client,
      clock: machine.clock,
      network: machine.network,
      logger: { debug: log, info: log, warn: log, error: log },
      nameServers: ADDRESS,
      clientId,
    }
  }

  /** Whether a producer that would send now does. */
  maySend(random: SeededRandom): boolean {
    return !this.isDraining && (!this.isSettling || random.next() < SENT_WHILE_SETTLING)
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.setTimer(ms, resolve))
  }

  async startBroker(): Promise<void> {
    for (let n = 0; ; n++) {
      const machine = this.machine(BROKER, this.#brokers++)
      this.#machine = machine
      this.note('broker', { event: 'restart' })
      try {
        const { clock, network } = machine
        const log = (line: string): void => this.tell('broker', line)
        const { disk } = this
        this.broker = await this.product.startBroker({
          ...this.settings.broker,
          dataDir: DATA,
          clock,
          network,
          disk,
          log,
        })
        return this.tell('broker', 'ready')
      } catch (error) {
        this.tell('broker', `died in its start: ${String(error)}`)
        if (n >= STARTS_MAX) throw error
        if (!this.disk.isDead) this.crashes.push(`the start: ${String(error)}`)
        this.killBroker('power', this.seed + n)
        await this.sleep(1_000)
      }
    }
  }

  /** @param crashAt power is lost again in this change of the disk after the restart */
  killBroker(kind: 'power' | 'process', seed: number, crashAt?: number): void {
    this.#machine?.kill()
    this.broker = undefined
    // With the answer before the sync, a power cut may take what was acknowledged: that is what was agreed.
    const isPower = kind === 'power' && this.settings.broker.flush === 'sync'
    const options = { seed, ...(crashAt !== undefined && isPower ? { crashAt } : {}) }
    this.disk = isPower ? this.disk.powerCut(options) : this.disk.killed(options)
  }

  /** Of every byte on the disk. */
  digest(): string {
    const hash = createHash('sha256')
    for (const [path, bytes] of this.#files(DATA)) hash.update(path).update(bytes)
    return hash.digest('hex')
  }

  bytesOnDisk(): number {
    return this.#files(DATA).reduce((sum, [, bytes]) => sum + bytes.length, 0)
  }

  #files(path: string): [string, Buffer][] {
    const names = this.disk.list(path)
    if (names.length > 0) return names.flatMap((name) => this.#files(`${path}/${name}`))
    const file = this.disk.open(path, 'read')
    const bytes = Buffer.alloc(file.size())
    file.read(bytes, 0, bytes.length, 0)
    file.close()
    return [[path, bytes]]
  }
}
