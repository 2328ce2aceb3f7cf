import { ProtocolError } from './errors.ts'

// Frame, big-endian (RemotingCommand.java; limit from NettyDecoder.java):
//   length i32 = bytes that follow | header word: serialization u8, header length u24 | header | body

/** Longest frame in bytes, its length field included. */
export const FRAME_BYTES_MAX = 16_777_216

const LENGTH_BYTES = 4
const HEADER_WORD_BYTES = 4
/** A carry-over buffer larger than this is not kept for the next frame. */
const KEPT_BYTES_MAX = 65_536
/** How much more room than bytes that arrived: what a stranger's length can cost. */
const GROWTH = 4

/** Who gets the frames of one stream. */
export interface FrameSink {
  /**
   * `bytes[start, end)` is one frame without its length field: header word, header, body. Valid during the call only,
   * unless `isGiven`: then the bytes are the frame's own and nobody else will write into them.
   */
  onFrame(bytes: Buffer, start: number, end: number, isGiven?: boolean): void
}

/**
 * Cuts a byte stream into frames. Frames that lie wholly inside the pushed bytes are handed out in place; only the
 * unfinished tail is copied, into a buffer that grows with what arrived, never with what a stranger's length promises.
 */
export class FrameSplitter {
  readonly #sink: FrameSink
  readonly #frameBytesMax: number
  #carry: Buffer = Buffer.alloc(0)
  #carried = 0

  /** @param frameBytesMax longest accepted frame, length field included; default {@link FRAME_BYTES_MAX} */
  constructor(sink: FrameSink, frameBytesMax: number = FRAME_BYTES_MAX) {
    this.#sink = sink
    this.#frameBytesMax = frameBytesMax
  }

  /** Bytes of an unfinished frame held here. */
  get bufferedBytes(): number {
    return this.#carried
  }

  /**
   * Takes the next bytes of the stream and hands out every frame they complete, in order. What the sink throws passes through.
   * @throws {ProtocolError} FRAME_LENGTH_INVALID as soon as the four bytes of a bad length are there; the stream is then useless
   */
  push(bytes: Buffer, start: number, end: number): void {
    let at = start
    if (this.#carried > 0) {
      at = this.#finishCarried(bytes, start, end)
      if (at < 0) return
    }
    while (end - at >= LENGTH_BYTES) {
      const total = LENGTH_BYTES + this.#lengthAt(bytes, at)
      if (end - at < total) break
      this.#sink.onFrame(bytes, at + LENGTH_BYTES, at + total)
      at += total
    }
    if (at < end) this.#keep(bytes, at, end)
  }

  /** Returns where the bytes after the carried frame begin, -1 when it is still unfinished. */
  #finishCarried(bytes: Buffer, start: number, end: number): number {
    let at = start
    if (this.#carried < LENGTH_BYTES) {
      const part = Math.min(LENGTH_BYTES - this.#carried, end - at)
      this.#keep(bytes, at, at + part)
      at += part
      if (this.#carried < LENGTH_BYTES) return -1
    }
    const total = LENGTH_BYTES + this.#lengthAt(this.#carry, 0)
    const part = Math.min(total - this.#carried, end - at)
    this.#keep(bytes, at, at + part)
    if (this.#carried < total) return -1
    const carry = this.#carry
    this.#carried = 0
    const isGiven = carry.length > KEPT_BYTES_MAX
    if (isGiven) this.#carry = Buffer.alloc(0)
    this.#sink.onFrame(carry, LENGTH_BYTES, total, isGiven)
    return at + part
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length =
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    if (length < HEADER_WORD_BYTES || length > this.#frameBytesMax - LENGTH_BYTES) {
      throw new ProtocolError(
        'FRAME_LENGTH_INVALID',
        `length field ${length}, accepted are ${HEADER_WORD_BYTES} to ${this.#frameBytesMax - LENGTH_BYTES}`,
      )
    }
    return length
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const needed = this.#carried + end - start
    if (needed > this.#carry.length) {
      // As large as the frame when a good part of it is here, so that a long one is copied once.
      const total = this.#carried < LENGTH_BYTES ? this.#frameBytesMax : LENGTH_BYTES + this.#lengthAt(this.#carry, 0)
      const grown = Buffer.allocUnsafe(Math.max(256, needed, Math.min(needed * GROWTH, total)))
      this.#carry.copy(grown, 0, 0, this.#carried)
      this.#carry = grown
    }
    bytes.copy(this.#carry, this.#carried, start, end)
    this.#carried = needed
  }
}
