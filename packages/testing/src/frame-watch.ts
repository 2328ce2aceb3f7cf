/** What the fault proxy needs to know of a frame. */
export interface FrameHead {
  code: number
  opaque: number
  isReply: boolean
}

const BINARY = 1
const PLAUSIBLE_BYTES_MAX = 64 << 20

/**
 * Cuts a byte stream into RocketMQ frames and reads their heads, for a test tool: simple, copying, never refusing.
 * Bytes that cannot be frames are handed on as they come, with no head.
 */
export class FrameWatch {
  readonly #onFrame: (bytes: Buffer, head: FrameHead | undefined) => void
  #rest: Buffer = Buffer.alloc(0)
  #foreign = false

  constructor(onFrame: (bytes: Buffer, head: FrameHead | undefined) => void) {
    this.#onFrame = onFrame
  }

  push(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes])
    while (!this.#foreign && this.#rest.length >= 4) {
      const length = this.#rest.readInt32BE(0)
      this.#foreign = length < 4 || length > PLAUSIBLE_BYTES_MAX
      if (this.#foreign || this.#rest.length < 4 + length) break
      const frame = this.#rest.subarray(0, 4 + length)
      this.#rest = this.#rest.subarray(4 + length)
      this.#onFrame(frame, headOf(frame))
    }
    if (!this.#foreign) return
    const passed = this.#rest
    this.#rest = Buffer.alloc(0)
    if (passed.length > 0) this.#onFrame(passed, undefined)
  }
}

function headOf(frame: Buffer): FrameHead | undefined {
  try {
    const kind = frame.readUInt8(4)
    const header = frame.subarray(8, 8 + frame.readUIntBE(5, 3))
    if (kind === BINARY) {
      return {
        code: header.readInt16BE(0),
        opaque: header.readInt32BE(5),
        isReply: (header.readInt32BE(9) & 1) === 1,
      }
    }
    const { code, opaque, flag } = JSON.parse(header.toString()) as { code: number; opaque: number; flag: number }
    return { code, opaque, isReply: (flag & 1) === 1 }
  } catch {
    return undefined
  }
}
