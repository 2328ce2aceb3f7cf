/** A frame with a JSON header (docs/spec/remoting.md 1), as the programs of the crash tests write and read it by themselves. */
export interface Frame {
  readonly code: number
  readonly opaque: number
  readonly flag?: number
  readonly remark?: string
  readonly extFields?: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type ExtFields = Readonly<Record<string, string | number | boolean>>

const RESPONSE = 1
export const ONEWAY = 2

export function encodeFrame(
  head: { code: number; opaque: number; flag?: number },
  extFields: ExtFields,
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const strings = Object.fromEntries(Object.entries(extFields).map(([key, value]) => [key, String(value)]))
  const header = Buffer.from(JSON.stringify({ flag: 0, language: 'OTHER', version: 441, ...head, extFields: strings }))
  const frame = Buffer.alloc(8 + header.length + body.length)
  frame.writeInt32BE(frame.length - 4, 0)
  frame.writeInt32BE(header.length, 4)
  header.copy(frame, 8)
  body.copy(frame, 8 + header.length)
  return frame
}

export function isResponse(frame: Frame): boolean {
  return ((frame.flag ?? 0) & RESPONSE) !== 0
}

/** Finds the frames in a stream of bytes. */
export class FrameReader {
  readonly #take: (frame: Frame) => void
  #kept = Buffer.alloc(0)

  constructor(take: (frame: Frame) => void) {
    this.#take = take
  }

  /** The bytes are copied. */
  push(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#kept, bytes])
    let at = 0
    while (all.length - at >= 4 && all.length - at >= 4 + all.readInt32BE(at)) {
      const end = at + 4 + all.readInt32BE(at)
      const headerEnd = at + 8 + (all.readInt32BE(at + 4) & 0xffffff)
      const header = JSON.parse(all.toString('utf8', at + 8, headerEnd)) as Omit<Frame, 'body'>
      this.#take({ ...header, body: all.subarray(headerEnd, end) })
      at = end
    }
    this.#kept = all.subarray(at)
  }
}
