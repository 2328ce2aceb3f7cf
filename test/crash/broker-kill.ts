import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../kit/free-port.ts'
import { HistoryWriter } from '../kit/history-writer.mjs'
import { ChildProgram } from '../kit/child-program.ts'
import { SeededRandom } from '../kit/seeded-random.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { elapse, until } from '../kit/waiting.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { HistoryChecker, type HistoryReport } from './history-checker.ts'
import { HistoryReader } from './history.ts'

export interface BrokerKillOptions {
  kills: number
  seed: number
  producers?: number
  /** Sends under way per producer. Default 8. */
  lanes?: number
  /** Most acknowledgements between two kills. Default 1500. */
  acksMax?: number
  /** How long messages may take to arrive after the last fault, ms. Default 60,000. */
  drainMsMax?: number
}

export interface BrokerKillResult {
  readonly report: HistoryReport
  readonly figures: Readonly<Record<string, number | string>>
  /** Of the first violations: what the clients wrote about them. */
  readonly witness: readonly string[]
}

const topics = ['crash-0', 'crash-1']
// Small segments, so that kills also meet the change from one to the next; check-backs soon, so that the end is near.
const set = {
  flush: 'sync',
  messageBytesMax: 1 << 20,
  segmentBytes: 4 << 20,
  transactionTimeoutMs: 500,
  transactionCheckIntervalMs: 1_000,
}

/** F01: kill -9 of the real broker at random moments while producers and consumers in their own processes go on. */
export async function killBroker(options: BrokerKillOptions): Promise<BrokerKillResult> {
  const { kills, seed, producers = 2, lanes = 8, acksMax = 1_500, drainMsMax = 60_000 } = options
  using folder = temporaryDirectory('broker-kill')
  const dataDir = join(folder.path, 'data')
  const histories = join(folder.path, 'histories')
  mkdirSync(histories)
  const random = new SeededRandom(seed)
  const history = new HistoryWriter(histories, 'harness')
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const programs: ChildProgram[] = []
  const started = Date.now()
  const run = (file: string, ...args: string[]): ChildProgram => {
    const program = new ChildProgram({ file: `test/crash/${file}`, args, readyLine: /^ready$/m })
    programs.push(program)
    return program
  }
  const consume = (mode: string, name: string, group: string): ChildProgram =>
    run('broker-consumer.mjs', mode, address, histories, name, group, ...topics)
  const reader = new HistoryReader(histories)
  const checker = new HistoryChecker()
  const acknowledged = (): number => {
    reader.read((event) => checker.take(event))
    return checker.acknowledged
  }
  let broker = tandemUp({ dataDir, port, set })
  try {
    await broker.ready()
    const senders = Array.from({ length: producers }, (_, n) =>
      run('broker-producer.mjs', address, histories, `p${n}`, String(random.between(1, 1e9)), String(lanes)),
    )
    const consumers = [
      consume('push', 'w0', 'workers'),
      consume('push', 'w1', 'workers'),
      consume('stream', 's0', 'readers'),
    ]
    await Promise.all([...senders, ...consumers].map((program) => program.ready()))
    const restartMs: number[] = []
    for (let kill = 0; kill < kills; kill++) {
      // Mostly under load, sometimes while the clients are still coming back.
      const enough = acknowledged() + random.between(1, acksMax)
      if (random.next() < 0.8)
        await until(
          () => acknowledged() >= enough,
          10_000,
          () => 'too few acknowledgements',
        )
      await elapse(random.between(0, 60))
      history.write('fault', { kind: 'kill broker' })
      await broker.stop('SIGKILL')
      // One in five is killed again while it recovers.
      if (random.next() < 0.2) {
        broker = tandemUp({ dataDir, port, set })
        await elapse(random.between(0, 400))
        await broker.stop('SIGKILL')
      }
      const restarted = Date.now()
      broker = tandemUp({ dataDir, port, set })
      await broker.ready()
      restartMs.push(Date.now() - restarted)
    }
    await elapse(500)
    for (const sender of senders) sender.signal('SIGTERM')
    await Promise.all(
      senders.map((sender) =>
        until(
          () => sender.out.includes('done\n'),
          40_000,
          () => sender.err,
        ),
      ),
    )
    const sendingMs = Date.now() - started

    const isDrained = (): boolean => acknowledged() > 0 && checker.missing().length === 0
    await until(isDrained, drainMsMax).catch(() => undefined)
    // Delays (2.1 s at most) and check-backs of what must not arrive get their chance to be wrong.
    await elapse(2_500)
    await Promise.all([...senders, ...consumers].map((program) => program.stop()))
    const audit = consume('audit', 'a0', 'audit')
    if ((await audit.stop('SIGCONT', 60_000)) !== '0') throw new Error(`the audit failed: ${audit.err}`)
    reader.read((event) => checker.take(event))
    const end = await broker.stop('SIGTERM')
    if (end !== '0') throw new Error(`the broker ended with ${end}: ${broker.err}`)
    const report = checker.report()
    return {
      report,
      figures: figuresOf(report, { kills, seed, sendingMs, totalMs: Date.now() - started, restartMs }),
      witness: report.violations.slice(0, 3).flatMap(({ ids }) => reader.witness(ids.map((id) => `"${id}"`))),
    }
  } finally {
    await Promise.all([broker, ...programs].map((program) => program.stop('SIGKILL')))
  }
}

function figuresOf(
  report: HistoryReport,
  run: { kills: number; seed: number; sendingMs: number; totalMs: number; restartMs: number[] },
): Record<string, number | string> {
  const { violations, groups, faults: _faults, ...counts } = report
  const received = Object.entries(groups).map(([name, { received: count, again }]) => [
    name,
    `${count} (+${again} again)`,
  ])
  const sorted = run.restartMs.toSorted((a, b) => a - b)
  return {
    kills: run.kills,
    seed: run.seed,
    ...counts,
    ...Object.fromEntries(received),
    violations: violations.length,
    sendingSeconds: run.sendingMs / 1_000,
    totalSeconds: run.totalMs / 1_000,
    restartMsMedian: sorted[sorted.length >> 1] ?? 0,
    restartMsMax: sorted.at(-1) ?? 0,
  }
}
