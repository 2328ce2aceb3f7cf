import type { FaultDisk } from '@tandemmq/broker/simulation'
import { SeededRandom } from '../../kit/seeded-random.ts'
import type { Violation } from '../history-checker.ts'
import { Aftermath } from './crash-point.ts'
import { DATA_DIR, type HistoryOptions, type Moment, RecordedHistory, type StartBroker } from './recorded-history.ts'

export const KINDS = ['log', 'log, read as a whole', 'journal', 'index', 'checkpoint', 'format', 'reserve'] as const
export type Kind = (typeof KINDS)[number]
/** Of a hundred flips. */
const SHARES: Readonly<Record<Kind, number>> = {
  log: 30,
  'log, read as a whole': 20,
  journal: 20,
  index: 17,
  checkpoint: 10,
  format: 2,
  reserve: 1,
}
/** A folder, or a single file. */
const folders: Readonly<Record<Kind, string>> = {
  log: `${DATA_DIR}/commitlog`,
  'log, read as a whole': `${DATA_DIR}/commitlog`,
  journal: `${DATA_DIR}/journal`,
  index: `${DATA_DIR}/index`,
  checkpoint: `${DATA_DIR}/checkpoint`,
  format: `${DATA_DIR}/format`,
  reserve: `${DATA_DIR}/reserve`,
}

const LOG_FILES = 9

export interface Flip {
  readonly kind: Kind
  readonly path: string
  readonly bit: number
}

/**
 * `refused`: the start names the place and goes on with `acceptDamage` only. `told`: the broker runs, says which range it cannot
 * read, and serves everything else. `made anew`: a derived file was written again. `no matter`: nobody reads the bit, or it makes
 * no difference.
 */
export type Outcome = 'refused' | 'told' | 'made anew' | 'no matter'

export interface FlipResult {
  readonly flip: Flip
  readonly outcome: Outcome
  /** What is wrong with it; nothing is the only right answer. */
  readonly wrong: readonly string[]
}

/** One life after a flip. */
interface Life {
  readonly disk: FaultDisk
  readonly lines: readonly string[]
  readonly violations: readonly Violation[]
  readonly error: Error | undefined
}

/** The data directory of a broker that was ended cleanly, and what becomes of it when one of its bits is wrong. */
export class FlipLab {
  readonly #history: RecordedHistory
  readonly #moment: Moment
  readonly #startBroker: StartBroker
  readonly #disk: FaultDisk

  private constructor(history: RecordedHistory, moment: Moment, startBroker: StartBroker) {
    this.#history = history
    this.#moment = moment
    this.#startBroker = startBroker
    this.#disk = this.#copy()
  }

  static async open(options: HistoryOptions): Promise<FlipLab> {
    const history = await RecordedHistory.record(options)
    return new FlipLab(history, await history.close(), options.startBroker)
  }

  /** Bits of files of every kind, or of one, spread evenly over the bytes of a kind. */
  flips(count: number, seed: number, only?: Kind): Flip[] {
    const random = new SeededRandom(seed)
    const flips: Flip[] = []
    for (const kind of only === undefined ? KINDS : [only]) {
      const all = filesIn(this.#disk, folders[kind])
      // The first thing a start does is to remove older files of the log, which everybody has consumed.
      const files = kind.startsWith('log') ? all.slice(-LOG_FILES) : all
      const bytes = files.reduce((sum, { size }) => sum + size, 0)
      const share = only === undefined ? SHARES[kind] : 100
      for (let left = Math.ceil((count * share) / 100); left > 0; left--) {
        let at = random.between(0, bytes - 1)
        const file = files.find(({ size }) => at < size || ((at -= size), false))
        if (file !== undefined) flips.push({ kind, path: file.path, bit: at * 8 + random.between(0, 7) })
      }
    }
    return flips
  }

  async flip(flip: Flip): Promise<FlipResult> {
    const first = await this.#live(flip, false)
    if (first.error === undefined && first.lines.some((line) => line.includes('stay held')))
      return this.#judgeHeld(flip, first)
    if (first.error === undefined) return { flip, ...this.#judgeStarted(flip, first) }
    const wrong: string[] = namesPlace(first.error.message, flip) ? [] : [`not named: ${first.error.message}`]
    // Nothing is known of a directory of another format, so nothing can be accepted.
    if (flip.kind === 'format') return { flip, outcome: 'refused', wrong }
    const second = await this.#live(flip, true)
    if (second.error !== undefined) wrong.push(`acceptDamage: ${second.error.message}`)
    if (!second.lines.some((line) => namesPlace(line, flip))) wrong.push('acceptDamage: the range was not reported')
    return { flip, outcome: 'refused', wrong: [...wrong, ...beyond(second.violations, flip)] }
  }

  /** A damaged message keeps its place in its line, and so what stands behind it, until somebody decides: by `acceptDamage`. */
  async #judgeHeld(flip: Flip, { lines, violations }: Life): Promise<FlipResult> {
    const wrong = lines.some((line) => namesPlace(line, flip))
      ? []
      : ['messages are held, and no line names the damage']
    wrong.push(
      ...beyond(
        violations.filter(({ rule }) => rule !== 'NoLoss'),
        flip,
      ),
    )
    const second = await this.#live(flip, true)
    if (second.error !== undefined) wrong.push(`acceptDamage: ${second.error.message}`)
    return { flip, outcome: 'told', wrong: [...wrong, ...beyond(second.violations, flip)] }
  }

  #judgeStarted(flip: Flip, { disk, lines, violations }: Life): { outcome: Outcome; wrong: string[] } {
    if (lines.some((line) => namesPlace(line, flip))) return { outcome: 'told', wrong: beyond(violations, flip) }
    const wrong = violations.map(({ rule, text }) => `${rule}: ${text}`)
    if (flip.kind === 'format') wrong.push('a start on another format')
    if (flip.kind === 'checkpoint') return { outcome: disk.exists(flip.path) ? 'no matter' : 'made anew', wrong }
    if (flip.kind !== 'index') return { outcome: 'no matter', wrong }
    // Retention took it with its segment.
    if (!disk.exists(flip.path)) return { outcome: 'no matter', wrong }
    const isWhole = bytesOf(disk, flip.path).equals(bytesOf(this.#disk, flip.path))
    return { outcome: 'made anew', wrong: isWhole ? wrong : [...wrong, 'the index file is not what it was'] }
  }

  async #live(flip: Flip, acceptDamage: boolean): Promise<Life> {
    const disk = this.#copy()
    disk.flipBit(flip.path, flip.bit)
    if (flip.kind === 'log, read as a whole') {
      for (const kind of ['index', 'checkpoint'] as const) {
        for (const { path } of filesIn(disk, folders[kind])) disk.remove(path)
      }
    }
    const lines: string[] = []
    const log = (line: string): void => void lines.push(line)
    const start: StartBroker = (options) => this.#startBroker({ ...options, acceptDamage, log })
    const aftermath = new Aftermath(this.#moment, start, true)
    let error: Error | undefined
    await aftermath.live(disk).catch((failure: Error) => void (error = failure))
    return { disk, lines, violations: aftermath.violations(), error }
  }

  #copy(): FaultDisk {
    return this.#history.disk.copy((end) => void queueMicrotask(end))
  }
}

/** The message says bytes FROM to TO, of this file or of the log, and the bit is one of them; or names the file of the format. */
function namesPlace(message: string, { kind, path, bit }: Flip): boolean {
  if (kind === 'format') return message.includes('FORMAT_VERSION_UNKNOWN')
  const name = path.slice(path.lastIndexOf('/') + 1)
  const isLog = kind.startsWith('log')
  const at = (bit >>> 3) + (isLog ? Number(name) : 0)
  const ranges = message.matchAll(/bytes (\d+) to (\d+) of (\S+)/g)
  for (const [, from, to, where = ''] of ranges) {
    // A record's checksum, 4 bytes, lies behind the bytes a reader names.
    if (Number(from) <= at && at < Number(to) + 4 && (isLog || where.startsWith(path))) return true
  }
  return false
}

/** What one wrong bit must not do, even when the rest of the damage was told. */
function beyond(violations: readonly Violation[], { kind }: Flip): string[] {
  const wrong = violations
    .filter(({ rule, text }) => rule === 'NoPhantom' || text.includes('changed between two reads'))
    .map(({ rule, text }) => `served: ${rule}: ${text}`)
  // The journal is only read as a whole; what its lost entry said may be anything but a message.
  const ids = new Set(violations.filter(({ rule }) => rule === 'NoLoss').flatMap((one) => one.ids))
  const allowed = kind === 'journal' ? 0 : 1
  if (ids.size > allowed) wrong.push(`${ids.size} messages are lost: ${[...ids].slice(0, 3).join()}`)
  return wrong
}

function filesIn(disk: FaultDisk, folder: string): { path: string; size: number }[] {
  const names = disk.list(folder)
  const paths = names.length === 0 ? [folder] : names.map((name) => `${folder}/${name}`)
  return paths.map((path) => ({ path, size: bytesOf(disk, path).length }))
}

function bytesOf(disk: FaultDisk, path: string): Buffer {
  const file = disk.open(path, 'read')
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0, bytes.length, 0)
  file.close()
  return bytes
}
