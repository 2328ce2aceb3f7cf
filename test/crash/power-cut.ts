import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '../kit/seeded-random.ts'
import { guard } from '../kit/watchdog.ts'
import { LoopDisk } from './loop-disk.ts'
import { Wire } from './raw-wire.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const TOPIC = 'power-cut'
const GROUP = 'power-cut-readers'
const QUEUES = 4
const LANES = 16
const IMAGE_MIB = 256
/** What `flush: async` promises: un-synced for 200 ms, and then as long as one sync takes; that is given 300 ms here. */
const ASYNC_WINDOW_MS = 500
/** Consumer offsets are in the file within 100 ms and on the disk about a second later. */
const OFFSET_WINDOW_MS = 1_500
const settings = {
  messageBytesMax: 64 << 10,
  segmentBytes: 1 << 20,
  checkpointBytes: 3 << 20,
  retentionBytesMax: 64 << 20,
}

export interface PowerCutOptions {
  cycles: number
  flush: 'sync' | 'async'
  seed: number
  /** A module loaded into each broker, to prove that the harness notices. */
  preload?: string | undefined
  log?(line: string): void
}

interface Broker {
  child: ChildProcess
  port: number
}

/** What was acknowledged, by the place it was given, with the time of the acknowledgement. */
interface Acknowledged {
  id: string
  at: number
}

/**
 * F02, F04: real power cuts. The broker runs on a file system of its own; the process stands still, the file system is shut down
 * without writing anything more, mounted again as the "disk" has it, and a new broker must serve what was acknowledged, where it was.
 * Reads and writes frames by itself: nothing of the product judges the product.
 */
export class PowerCuts {
  readonly wrong: string[] = []
  readonly figures = { cuts: 0, sent: 0, acknowledged: 0, lost: 0, oldestLostMs: 0, keptUnasked: 0 }
  readonly #options: PowerCutOptions
  readonly #random: SeededRandom
  readonly #readyMs: number[] = []
  readonly #acknowledged = new Map<string, Acknowledged>()
  readonly #sent = new Set<string>()
  /** Offsets the group committed since the last start. */
  #commits: { offset: number; at: number }[] = []
  #end = 0
  #cutAt = 0

  constructor(options: PowerCutOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
  }

  get summary(): Record<string, number | string> {
    const { flush, seed } = this.#options
    const sorted = this.#readyMs.toSorted((a, b) => a - b)
    const median = Math.round(sorted[sorted.length >> 1] ?? 0)
    const max = Math.round(sorted.at(-1) ?? 0)
    return { flush, seed, ...this.figures, wrong: this.wrong.length, restartMsMedian: median, restartMsMax: max }
  }

  async run(): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'tandemmq-power-'))
    const disk = new LoopDisk(folder, IMAGE_MIB)
    let broker: Broker | undefined
    try {
      for (;;) {
        broker = await this.#start(disk)
        const wire = new Wire(broker.port)
        await this.#judge(wire)
        if (this.figures.cuts === this.#options.cycles) return
        await this.#load(wire, disk, broker)
        if (++this.figures.cuts % 25 === 0) this.#options.log?.(JSON.stringify(this.summary))
      }
    } catch (error) {
      this.wrong.push(`after cut ${this.figures.cuts}: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      await killed(broker?.child)
      disk.unmount()
      rmSync(folder, { recursive: true, force: true })
    }
  }

  async #start(disk: LoopDisk): Promise<Broker> {
    const { flush, preload } = this.#options
    const set = Object.entries({ flush, ...settings }).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const args = ['packages/cli/bin/tandem.js', 'up', '--port', '0', '--data-dir', join(disk.path, 'data'), ...set]
    const started = performance.now()
    const child = spawn(process.execPath, [...(preload === undefined ? [] : ['--import', preload]), ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    guard(child)
    let out = ''
    const port = await new Promise<number>((resolve, reject) => {
      const read = (bytes: Buffer): void => {
        out += bytes.toString()
        const found = /ready on [\d.]+:(\d+)/.exec(out)?.[1]
        if (found !== undefined) resolve(Number(found))
      }
      child.stdout.on('data', read)
      child.stderr.on('data', read)
      child.once('close', (code) => reject(new Error(`the broker ended with ${code}: ${out.slice(-2_000)}`)))
    })
    this.#readyMs.push(performance.now() - started)
    return { child, port }
  }

  /** Sends and commits until the power goes. */
  async #load(wire: Wire, disk: LoopDisk, { child }: Broker): Promise<void> {
    this.#commits = []
    const lanes = Array.from({ length: LANES }, (_, lane) => this.#lane(wire, lane).catch(() => {}))
    const commits = this.#commitOffsets(wire).catch(() => {})
    await pause(this.#random.between(60, 560))
    this.#cutAt = await disk.cut(child)
    wire.socket.destroy()
    await Promise.all([...lanes, commits])
  }

  async #lane(wire: Wire, lane: number): Promise<never> {
    for (;;) {
      const id = `${this.figures.cuts}-${lane}-${this.figures.sent++}`
      const body = Buffer.alloc(20 + Math.floor(this.#random.next() ** 3 * 20_000), `${id} `)
      this.#sent.add(id)
      const answer = await wire.request(
        310,
        {
          ...{ a: 'power-cut', b: TOPIC, c: 'TBW102', d: QUEUES, e: lane % QUEUES, f: 0, g: Date.now(), h: 0 },
          ...{ i: `UNIQ_KEY\u0001${id}\u0002`, j: 0, k: false, m: false },
        },
        body,
      )
      if (answer.code !== 0) throw new Error(`send answered ${answer.code}: ${answer.remark ?? ''}`)
      const { queueId, queueOffset } = answer.extFields ?? {}
      if (queueId === '0') this.#end = Math.max(this.#end, Number(queueOffset) + 1)
      this.#acknowledged.set(`${queueId ?? ''}/${queueOffset ?? ''}`, { id, at: performance.now() })
      this.figures.acknowledged++
    }
  }

  async #commitOffsets(wire: Wire): Promise<never> {
    for (;;) {
      const offset = this.#end
      const answer = await wire.request(15, { consumerGroup: GROUP, topic: TOPIC, queueId: 0, commitOffset: offset })
      if (answer.code === 0) this.#commits.push({ offset, at: performance.now() })
      await pause(20)
    }
  }

  async #judge(wire: Wire): Promise<void> {
    const found = new Map<string, string>()
    const ranges: { min: number; max: number }[] = []
    for (let queueId = 0; queueId < QUEUES; queueId++) ranges.push(await readQueue(wire, queueId, found))
    for (const [place, { id, at }] of this.#acknowledged) {
      const [queueId, offset] = place.split('/').map(Number) as [number, number]
      if (found.get(place) === id) continue
      this.#acknowledged.delete(place)
      if (offset >= (ranges[queueId]?.min ?? 0)) this.#miss(place, id, found.get(place), this.#cutAt - at)
    }
    for (const [place, id] of found) {
      if (!this.#sent.has(id)) this.#accuse(`${place} holds ${id}, which nobody sent`)
      if (this.#acknowledged.has(place)) continue
      // Under way when the power went: stored without anybody being told. From now on it stays where it is.
      this.#acknowledged.set(place, { id, at: Number.NEGATIVE_INFINITY })
      this.figures.keptUnasked++
    }
    this.#end = ranges[0]?.max ?? 0
    await this.#judgeOffset(wire)
  }

  #miss(place: string, id: string, instead: string | undefined, ageMs: number): void {
    this.figures.lost++
    this.figures.oldestLostMs = Math.max(this.figures.oldestLostMs, Math.round(ageMs))
    if (this.#options.flush === 'async' && ageMs <= ASYNC_WINDOW_MS) return
    const what = instead === undefined ? 'is lost' : `is ${instead} now`
    this.#accuse(`${id} at ${place}, acknowledged ${ageMs.toFixed(0)} ms before the cut, ${what}`)
  }

  async #judgeOffset(wire: Wire): Promise<void> {
    const last = this.#commits.at(-1)
    if (last === undefined) return
    const answer = await wire.request(14, { consumerGroup: GROUP, topic: TOPIC, queueId: 0, setZeroIfNotFound: false })
    const committed = answer.code === 0 ? Number(answer.extFields?.offset) : -1
    const old = this.#commits.filter(({ at }) => this.#cutAt - at > OFFSET_WINDOW_MS).at(-1)?.offset ?? -1
    if (committed > Math.min(last.offset, this.#end))
      this.#accuse(`the group jumped from ${last.offset} to ${committed}`)
    if (committed < Math.min(old, this.#end)) this.#accuse(`the group fell back from ${old} to ${committed}`)
  }

  #accuse(what: string): void {
    this.wrong.push(`cut ${this.figures.cuts}: ${what}`)
  }
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGKILL')
  await ended
}

/** Puts what the queue holds into `found`, place -> id; a body that is not whole has an id nobody sent. */
async function readQueue(
  wire: Wire,
  queueId: number,
  found: Map<string, string>,
): Promise<{ min: number; max: number }> {
  const first = await wire.request(31, { topic: TOPIC, queueId })
  if (first.code === 17) return { min: 0, max: 0 }
  const min = Number(first.extFields?.offset)
  for (let offset = min; ; ) {
    const answer = await wire.request(11, {
      ...{
        consumerGroup: GROUP,
        topic: TOPIC,
        queueId,
        queueOffset: offset,
        maxMsgNums: 32,
        sysFlag: 4,
        commitOffset: 0,
      },
      ...{ suspendTimeoutMillis: 0, subscription: '*', subVersion: 0, expressionType: 'TAG' },
    })
    if (answer.code === 19) return { min, max: offset }
    if (answer.code !== 0)
      throw new Error(`a pull from ${queueId}/${offset} answered ${answer.code}: ${answer.remark ?? ''}`)
    // Stored record, IPv4 hosts: size at 0, queue offset at 20, length of the body at 84, body at 88.
    for (let at = 0; at < answer.body.length; at += answer.body.readInt32BE(at)) {
      const size = answer.body.readInt32BE(at + 84)
      const text = answer.body.toString('latin1', at + 88, at + 88 + size)
      const id = text.slice(0, text.indexOf(' '))
      const isWhole = text === `${id} `.repeat(Math.ceil(size / (id.length + 1))).slice(0, size)
      found.set(`${queueId}/${Number(answer.body.readBigInt64BE(at + 20))}`, isWhole ? id : `a broken ${id}`)
    }
    offset = Number(answer.extFields?.nextBeginOffset)
  }
}
