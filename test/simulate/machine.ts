import type { Clock, Listener, Network, StreamSocket, Timer } from '@tandemmq/remoting'
import type { MemoryNetwork } from '@tandemmq/remoting/simulation'
import type { SeededRandom } from '../kit/seeded-random.ts'

const silent = { onData() {}, onDrain() {}, onClose() {} }
const never = <T>(): Promise<T> => new Promise<T>(() => {})

export interface MachineOptions {
  readonly clock: Clock
  readonly network: MemoryNetwork
  readonly address: string
  /** Chance of its programs; of its own, so that another machine does not change what this one draws. */
  readonly random: SeededRandom
  /** A callback of one of its programs threw: a real process would be gone. */
  readonly onCrash: (error: unknown) => void
  /** Its wall clock. Default that of `clock`. */
  readonly now?: (() => number) | undefined
}

/** Where one process runs. It can die: then its timers, sockets and promises are heard of no more. */
export class Machine {
  readonly address: string
  readonly clock: Clock
  readonly network: Network
  isDead = false
  readonly #options: MachineOptions
  readonly #sockets: StreamSocket[] = []
  readonly #listeners: Listener[] = []

  constructor(options: MachineOptions) {
    this.#options = options
    this.address = options.address
    const { clock, random } = options
    this.clock = {
      now: options.now ?? (() => clock.now()),
      monotonic: () => clock.monotonic(),
      setTimer: (delayMs, callback): Timer => clock.setTimer(delayMs, () => this.#call(callback)),
      soon: (callback) => clock.soon(() => this.#call(callback)),
      random: () => random.next(),
      randomBytes: (length) => Buffer.from(Uint8Array.from({ length }, () => random.between(0, 255))),
    }
    const network = options.network.host(options.address)
    this.network = {
      connect: (where) => network.connect(where).then((socket) => this.#connected(socket), lost(this)),
      listen: (where, onSocket) => this.#listen(where, onSocket),
    }
  }

  /** As kill -9: the peers see their connections reset, the process sees nothing any more. */
  kill(): void {
    this.isDead = true
    for (const listener of this.#listeners) void listener.close()
    for (const socket of this.#sockets) socket.handler = silent
    this.#options.network.reset(this.address)
  }

  async #listen(where: { host: string; port: number }, onSocket: (socket: StreamSocket) => void): Promise<Listener> {
    const listener = await this.#options.network.listen(where, (socket) => {
      this.#sockets.push(socket)
      onSocket(socket)
    })
    this.#listeners.push(listener)
    return listener
  }

  #connected(socket: StreamSocket): StreamSocket | Promise<StreamSocket> {
    if (this.isDead) {
      socket.destroy()
      return never()
    }
    this.#sockets.push(socket)
    return socket
  }

  #call(callback: () => void): void {
    if (this.isDead) return
    try {
      callback()
    } catch (error) {
      this.#options.onCrash(error)
    }
  }
}

function lost(machine: Machine): (error: unknown) => Promise<StreamSocket> {
  return (error) => (machine.isDead ? never() : Promise.reject(error))
}
