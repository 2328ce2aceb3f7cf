/** Size of an ordinary chunk; an entry that does not fit gets one of its own. */
export const CHUNK_BYTES = 1 << 20

/** A run of the log as it is in memory. */
export class HotChunk {
  bytes: Buffer
  view: DataView
  /** Log offset of bytes[0]. */
  start = 0
  /** Bytes in use. */
  used = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size)
  }

  get end(): number {
    return this.start + this.used
  }
}

/**
 * The newest bytes of the log: entries are encoded here, written to the file from here, and read from here while they are young.
 * Chunks are allocated when needed and reused in a ring once `bytesMax` is reached.
 */
export class HotMemory {
  readonly #bytesMax: number
  /** Oldest first; starts ascend. */
  readonly #chunks: HotChunk[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = Math.max(bytesMax, CHUNK_BYTES)
  }

  /**
   * @param position log offset where the entry goes
   * @param written log offset before which everything is in the file: nothing after it may be given up
   * @returns a chunk with `size` bytes free at `used`, where bytes[used] is the log's `position`
   */
  reserve(position: number, size: number, written: number): HotChunk {
    const last = this.#chunks.at(-1)
    // After the end of a segment positions jump: bytes and offsets must stay in step inside a chunk.
    if (last !== undefined && last.end === position && last.bytes.length - last.used >= size) return last
    return this.#next(position, size, written)
  }

  /** @returns the chunk that holds log bytes [offset, offset + size), undefined when they are not in memory */
  find(offset: number, size: number): HotChunk | undefined {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#chunks[middle]!.start <= offset) low = middle + 1
      else high = middle
    }
    const chunk = this.#chunks[low - 1]
    return chunk !== undefined && offset + size <= chunk.end ? chunk : undefined
  }

  /** Chunks with bytes at or after `offset`, oldest first. */
  from(offset: number): HotChunk[] {
    let first = this.#chunks.length
    while (first > 0 && this.#chunks[first - 1]!.end > offset) first--
    return this.#chunks.slice(first)
  }

  get bytes(): number {
    return this.#bytes
  }

  #next(position: number, size: number, written: number): HotChunk {
    const wanted = Math.max(size, CHUNK_BYTES)
    let spare: HotChunk | undefined
    while (this.#chunks.length > 0 && this.#bytes + wanted > this.#bytesMax && this.#chunks[0]!.end <= written) {
      const given = this.#chunks.shift()!
      this.#bytes -= given.bytes.length
      if (given.bytes.length === wanted) spare = given
    }
    const chunk = spare ?? new HotChunk(wanted)
    chunk.start = position
    chunk.used = 0
    this.#chunks.push(chunk)
    this.#bytes += wanted
    return chunk
  }
}
