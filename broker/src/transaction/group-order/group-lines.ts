import type { Clock } from '@tandemmq/remoting'
import { KeyHash } from '../../key-hash.ts'
import { GroupLine } from './group-line.ts'

const NO_BYTES = Buffer.alloc(0)

/** The lines of all ordering keys that wait for somebody, found by topic and key without making a text of the key. */
export class GroupLines {
  readonly #hash: KeyHash
  readonly #byHash = new Map<number, GroupLine>()
  /** Lines that hold messages, since longest first. */
  readonly holding = new Set<GroupLine>()
  size = 0

  constructor(clock: Clock) {
    this.#hash = new KeyHash(clock)
  }

  find(topic: string, key: Buffer, start: number, end: number): GroupLine | undefined {
    let line = this.#byHash.get(this.#hashOf(key, start, end))
    while (line !== undefined && !(line.topic === topic && isSame(line.key, key, start, end))) line = line.sibling
    return line
  }

  findOrAdd(topic: string, key: Buffer, start: number, end: number): GroupLine {
    return this.find(topic, key, start, end) ?? this.#add(topic, key.toString('latin1', start, end))
  }

  remove(line: GroupLine): void {
    this.size--
    const first = this.#byHash.get(line.hash)
    if (first === line) {
      if (line.sibling === undefined) this.#byHash.delete(line.hash)
      else this.#byHash.set(line.hash, line.sibling)
      return
    }
    for (let before = first; before !== undefined; before = before.sibling) {
      if (before.sibling === line) before.sibling = line.sibling
    }
  }

  *[Symbol.iterator](): Generator<GroupLine> {
    for (const first of this.#byHash.values()) {
      for (let line: GroupLine | undefined = first; line !== undefined; line = line.sibling) yield line
    }
  }

  #add(topic: string, key: string): GroupLine {
    // The hash of the key looked for last.
    const line = new GroupLine(topic, key, this.#hash.low)
    line.sibling = this.#byHash.get(line.hash)
    this.#byHash.set(line.hash, line)
    this.size++
    return line
  }

  #hashOf(key: Buffer, start: number, end: number): number {
    this.#hash.of(NO_BYTES, 0, 0, key, start, end)
    return this.#hash.low
  }
}

function isSame(key: string, bytes: Buffer, start: number, end: number): boolean {
  if (key.length !== end - start) return false
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) !== bytes[start + i]) return false
  return true
}
