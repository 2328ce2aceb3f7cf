import { ProtocolError } from './errors.ts'

/**
 * CHECK_TRANSACTIONS 9110, broker to client: what became of these transactions? Asked only of clients whose heartbeat names
 * the domain in `transactionDomains`. Body `{"domain": text, "transactionIds": [text, ...]}`, answer
 * `{"answers": "CRUN..."}`: one letter per id, in the order asked.
 */
export type CheckAnswer = 'commit' | 'rollback' | 'unknown' | 'notMine'

const letters: Readonly<Record<CheckAnswer, string>> = { commit: 'C', rollback: 'R', unknown: 'U', notMine: 'N' }
const answersOf = new Map(Object.entries(letters).map(([answer, letter]) => [letter, answer as CheckAnswer]))

export function encodeCheckAnswers(answers: readonly CheckAnswer[]): string {
  return answers.map((answer) => letters[answer] ?? 'U').join('')
}

/** @throws {ProtocolError} FIELD_INVALID unless there are `count` letters, all of them known */
export function decodeCheckAnswers(text: unknown, count: number): CheckAnswer[] {
  if (typeof text !== 'string' || text.length !== count) {
    throw new ProtocolError('FIELD_INVALID', `answers must be ${count} letters, one per transaction`)
  }
  return Array.from(text, (letter) => {
    const answer = answersOf.get(letter)
    if (answer === undefined) throw new ProtocolError('FIELD_INVALID', `"${letter}" is none of C, R, U, N`)
    return answer
  })
}

/**
 * END_TRANSACTIONS 9111, client to broker: ends of many half messages of ext `producerGroup`. Big-endian body:
 *   entry = physicalOffset i64 | queueOffset i64 | decision u8 (commitOrRollback of END_TRANSACTION: 0, 8, 12)
 * Answer: one byte per entry in the order asked, {@link EndResult}.
 */
export const END_ENTRY_BYTES = 17
/** More in one request are refused. */
export const ENDS_MAX = 10_000

/** Bits 0 to 3: what the half message is now; bit 4: the opposite of what was asked for was decided before. */
export const EndResult = { committed: 1, rolledBack: 2, pending: 3, unknown: 4, CONFLICT: 0x10, OUTCOME: 0x0f } as const

export interface EndEntry {
  readonly physicalOffset: bigint
  readonly queueOffset: bigint
  /** 0 unknown, 8 commit, 12 rollback. */
  readonly decision: number
}

export function encodeEnds(entries: readonly EndEntry[]): Buffer {
  const body = Buffer.alloc(entries.length * END_ENTRY_BYTES)
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  for (const [n, { physicalOffset, queueOffset, decision }] of entries.entries()) {
    const at = n * END_ENTRY_BYTES
    view.setBigInt64(at, physicalOffset)
    view.setBigInt64(at + 8, queueOffset)
    view.setUint8(at + 16, decision)
  }
  return body
}

/**
 * Reads entry by entry, without an object for each.
 * @throws {ProtocolError} FIELD_INVALID when the body is no whole number of entries, or holds none or too many
 */
export class EndReader {
  readonly count: number
  physicalOffset = 0
  queueOffset = 0
  decision = 0
  readonly #view: DataView

  /** @param bytes the body is `bytes[start, end)` */
  constructor(bytes: Buffer, start: number, end: number) {
    this.count = (end - start) / END_ENTRY_BYTES
    if (!Number.isInteger(this.count) || this.count === 0 || this.count > ENDS_MAX) {
      const detail = `ends take ${END_ENTRY_BYTES} bytes each, 1 to ${ENDS_MAX} of them; the body has ${end - start}`
      throw new ProtocolError('FIELD_INVALID', detail)
    }
    this.#view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start)
  }

  /** Offsets outside 0..2^53 are read as -1: no half message is there. */
  read(n: number): void {
    const at = n * END_ENTRY_BYTES
    this.physicalOffset = this.#offset(at)
    this.queueOffset = this.#offset(at + 8)
    this.decision = this.#view.getUint8(at + 16)
  }

  #offset(at: number): number {
    const high = this.#view.getInt32(at)
    if (high < 0 || high > 0x1fffff) return -1
    return high * 0x1_0000_0000 + this.#view.getUint32(at + 4)
  }
}
