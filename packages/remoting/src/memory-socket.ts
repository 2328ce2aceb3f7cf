import { parseAddress } from './address.ts'
import type { Clock } from './clock.ts'
import type { CutDirection } from './memory-network.ts'
import type { SocketHandler, StreamSocket } from './network.ts'

/** What the two ends of a connection ask the network between them. */
export interface Wire {
  readonly clock: Clock
  readonly chunkBytesMax: number
  readonly windowBytes: number
  latency(): number
  isCut(direction: CutDirection): boolean
}

const nobody: SocketHandler = { onData() {}, onDrain() {}, onClose() {} }
/** One for all, as the real read buffer; overwritten after each call, so who keeps a reference reads nonsense. */
const readBuffer = Buffer.alloc(65_536)
const POISON = 0xdb

/**
 * One end of a connection in memory. `#received` is what the kernels hold on its way to this end; a write beyond the
 * window stays with the writer, by reference, until the reader made room.
 */
export class MemorySocket implements StreamSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  handler: SocketHandler = nobody
  onGone: () => void = () => {}
  #wire: Wire
  #direction: 'toServer' | 'toClient'
  #peer: MemorySocket | undefined
  #unsent: { bytes: Buffer; start: number; end: number }[] = []
  #pendingBytes = 0
  #received: { bytes: Buffer; start: number; arrivesAt: number }[] = []
  #receivedBytes = 0
  #finArrivesAt: number | undefined
  #isPaused = false
  #isEnding = false
  #finSent = false
  #finSeen = false
  #isClosed = false
  #isSilent = false
  #deliveryDueAt: number | undefined

  /** @param direction of the bytes this end writes */
  constructor(local: string, remote: string, direction: 'toServer' | 'toClient', wire: Wire) {
    const near = parseAddress(local)
    const far = parseAddress(remote)
    this.localAddress = near.host
    this.localPort = near.port
    this.remoteAddress = far.host
    this.remotePort = far.port
    this.#direction = direction
    this.#wire = wire
  }

  join(peer: MemorySocket): void {
    this.#peer = peer
    peer.#peer = this
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (this.#isClosed || this.#isEnding || this.#finSeen || start === end) return
    this.#unsent.push({ bytes, start, end })
    this.#pendingBytes += end - start
    this.#fillWindow()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.wake()
  }

  end(): void {
    if (this.#isClosed || this.#isEnding) return
    this.#isEnding = true
    this.resume()
    this.#fillWindow()
  }

  destroy(error?: Error): void {
    if (this.#isClosed) return
    this.#close(error)
    this.#sendFin()
  }

  /** Both ends learn of it at once, whatever was under way is lost. */
  reset(): void {
    for (const end of [this, this.#peer]) {
      if (end === undefined || end.#isClosed) continue
      end.#close(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
    }
  }

  vanish(): void {
    this.#isSilent = true
  }

  /** Something changed (a cut was healed): deliver what may be delivered. */
  wake(): void {
    this.#fillWindow()
    this.#schedule()
  }

  #fillWindow(): void {
    const peer = this.#peer
    if (peer === undefined || this.#isClosed || this.#isSilent) return
    let room = this.#wire.windowBytes - peer.#receivedBytes
    while (room > 0) {
      const first = this.#unsent[0]
      if (first === undefined) break
      const length = Math.min(room, first.end - first.start)
      peer.#take(Buffer.from(first.bytes.subarray(first.start, first.start + length)))
      first.start += length
      room -= length
      this.#pendingBytes -= length
      if (first.start === first.end) this.#unsent.shift()
    }
    if (this.#isEnding && this.#pendingBytes === 0) this.#sendFin()
  }

  /** The kernel of this end is on the way to have `bytes`; a closed end throws them away. */
  #take(bytes: Buffer): void {
    if (this.#isClosed) return
    this.#received.push({ bytes, start: 0, arrivesAt: this.#arrival() })
    this.#receivedBytes += bytes.length
    this.#schedule()
  }

  /** Never before what was sent earlier: a stream keeps its order. */
  #arrival(): number {
    const arrivesAt = this.#wire.clock.monotonic() + this.#wire.latency()
    return Math.max(arrivesAt, this.#received.at(-1)?.arrivesAt ?? 0)
  }

  #sendFin(): void {
    const peer = this.#peer
    if (this.#finSent || this.#isSilent || peer === undefined) return
    this.#finSent = true
    peer.#finArrivesAt = peer.#arrival()
    peer.#schedule()
    this.#closeWhenBothEnded()
  }

  #schedule(): void {
    const due = this.#received[0]?.arrivesAt ?? this.#finArrivesAt
    if (due === undefined || this.#isClosed) return
    // Bytes wait while reading is paused; the end of the stream is seen nevertheless.
    if (this.#isPaused && this.#received.length > 0) return
    if (this.#deliveryDueAt !== undefined && this.#deliveryDueAt <= due) return
    this.#deliveryDueAt = due
    this.#wire.clock.setTimer(due - this.#wire.clock.monotonic(), () => {
      if (this.#deliveryDueAt !== due) return
      this.#deliveryDueAt = undefined
      this.#deliver()
    })
  }

  #deliver(): void {
    const incoming = this.#direction === 'toServer' ? 'toClient' : 'toServer'
    if (this.#isClosed || this.#isSilent || this.#wire.isCut(incoming)) return
    if (this.#received.length === 0) {
      if (this.#finArrivesAt !== undefined) this.#seeFin()
      return
    }
    if (this.#isPaused) return
    const length = this.#gather()
    const bytesLeave = this.#peer
    this.handler.onData(readBuffer, 0, length)
    readBuffer.fill(POISON, 0, length)
    bytesLeave?.afterRead()
    this.#schedule()
  }

  /** Copies a chance number of the bytes that have arrived into the read buffer. */
  #gather(): number {
    const now = this.#wire.clock.monotonic()
    let arrived = 0
    for (const part of this.#received) {
      if (part.arrivesAt > now) break
      arrived += part.bytes.length - part.start
    }
    const most = Math.min(arrived, this.#wire.chunkBytesMax, readBuffer.length)
    const length = 1 + Math.floor(this.#wire.clock.random() * most)
    let at = 0
    while (at < length) {
      const first = this.#received[0]
      if (first === undefined) break
      const count = Math.min(length - at, first.bytes.length - first.start)
      first.bytes.copy(readBuffer, at, first.start, first.start + count)
      first.start += count
      at += count
      if (first.start === first.bytes.length) this.#received.shift()
    }
    this.#receivedBytes -= at
    return at
  }

  /** The reader made room: what waited moves on, and the owner hears when nothing waits any more. */
  afterRead(): void {
    if (this.#pendingBytes === 0 || this.#isClosed) return
    this.#fillWindow()
    if (this.#pendingBytes > 0) return
    this.#wire.clock.setTimer(0, () => {
      if (!this.#isClosed && this.#pendingBytes === 0) this.handler.onDrain()
    })
  }

  #seeFin(): void {
    this.#finArrivesAt = undefined
    this.#finSeen = true
    this.end()
    this.#closeWhenBothEnded()
  }

  #closeWhenBothEnded(): void {
    if (this.#finSent && this.#finSeen && !this.#isClosed) this.#close()
  }

  #close(error?: Error): void {
    this.#isClosed = true
    this.#unsent = []
    this.#pendingBytes = 0
    this.#received = []
    this.#receivedBytes = 0
    this.#wire.clock.setTimer(0, () => {
      const handler = this.handler
      this.handler = nobody
      this.onGone()
      handler.onClose(error)
    })
    // A peer that waits for room learns that nobody will read.
    this.#peer?.afterRead()
  }
}
