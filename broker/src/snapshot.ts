type Column = Float64Array | Int32Array | Uint32Array | Uint8Array

const ALIGNMENT = 8

/**
 * A table as columns for a checkpoint: numbers first, then typed arrays in the byte order of the machine, each on a
 * multiple of 8 bytes. Written and read in the same order.
 */
export class SnapshotWriter {
  readonly #parts: Buffer[] = []

  number(value: number): this {
    return this.column(Float64Array.of(value))
  }

  /** The array must not be changed afterwards. */
  column(values: Column): this {
    this.#parts.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    const over = values.byteLength % ALIGNMENT
    if (over > 0) this.#parts.push(Buffer.alloc(ALIGNMENT - over))
    return this
  }

  text(value: string): this {
    const bytes = Buffer.from(value)
    return this.number(bytes.length).column(bytes)
  }

  finish(): Buffer[] {
    return this.#parts
  }
}

/** Reads what {@link SnapshotWriter} wrote. */
export class SnapshotReader {
  readonly #bytes: ArrayBuffer
  #at = 0

  constructor(snapshot: Buffer) {
    this.#bytes = new ArrayBuffer(snapshot.length)
    new Uint8Array(this.#bytes).set(snapshot)
  }

  number(): number {
    return this.float64(1)[0] as number
  }

  float64(count: number): Float64Array {
    return new Float64Array(this.#bytes, this.#take(count * 8), count)
  }

  int32(count: number): Int32Array {
    return new Int32Array(this.#bytes, this.#take(count * 4), count)
  }

  uint32(count: number): Uint32Array {
    return new Uint32Array(this.#bytes, this.#take(count * 4), count)
  }

  uint8(count: number): Uint8Array {
    return new Uint8Array(this.#bytes, this.#take(count), count)
  }

  text(): string {
    return Buffer.from(this.uint8(this.number())).toString()
  }

  #take(bytes: number): number {
    const at = this.#at
    this.#at += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
    return at
  }
}
