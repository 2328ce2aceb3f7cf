import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { tandemUp, type TandemOptions } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { elapse, until } from '../kit/waiting.ts'
import { NumberedQueue } from './numbered-queue.ts'
import { Wire } from './raw-wire.ts'

const set = { segmentBytes: 1 << 20, messageBytesMax: 256 << 10 }
const failingSync = fileURLToPath(new URL('failing-sync.mjs', import.meta.url))
/** How long the broker stands still. */
const pauseMs = Number(process.env.CRASH_PAUSE_MS ?? 1_500)

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1))
}

/** Brokers on one directory, one after the other, all ended with the scope. */
class Brokers implements AsyncDisposable {
  readonly #folder = temporaryDirectory('process-faults')
  readonly #programs: ChildProgram[] = []

  get dataDir(): string {
    return `${this.#folder.path}/data`
  }

  spawn(options: Partial<TandemOptions> = {}): ChildProgram {
    const program = tandemUp({ dataDir: this.dataDir, port: 0, set, ...options })
    this.#programs.push(program)
    return program
  }

  async start(options: Partial<TandemOptions> = {}): Promise<{ broker: ChildProgram; wire: Wire; port: number }> {
    const broker = this.spawn(options)
    const port = portOf(await broker.ready())
    return { broker, wire: new Wire(port), port }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop('SIGKILL')))
    this.#folder.remove()
  }
}

test('F09: while every sync fails one is tried, nothing is acknowledged, reading goes on, and no start pretends', {
  timeout: 60_000,
}, async () => {
  await using brokers = new Brokers()
  const queue = new NumberedQueue('no-sync')
  const env = { NODE_OPTIONS: `--import ${failingSync}` }
  const { broker, wire } = await brokers.start({ env })
  expect(await queue.store(wire, 50, 2_000)).toBe(undefined)
  broker.signal('SIGUSR2')
  await until(() => broker.err.includes('syncs fail now'), 5_000)
  for (let index = 0; index < 20; index++) {
    const answer = await queue.send(wire)
    expect(answer).toMatchObject({ code: 14, remark: expect.stringContaining('STORE_FENCED') })
  }
  await elapse(2_500)
  expect(broker.isAlive).toBe(true)
  expect(queue.acknowledged.size).toBe(50)
  expect(await queue.wrong(wire)).toEqual([])
  const attempts = broker.err.match(/^failed/gm)?.length
  expect(attempts).toBeGreaterThan(0)
  // One of the log, one of the journal, one of a segment being prepared: each may have been under way already.
  expect(attempts).toBeLessThanOrEqual(3)
  await broker.stop('SIGKILL')
  // Whoever restarts it for ever decides about the pause between: a start ends by itself, and says why.
  const poor = brokers.spawn({ env: { ...env, FAILING_SYNC: 'start' } })
  expect(await poor.ended()).toBe('1')
  expect(poor.err).toMatch(/EIO/)
  expect(poor.out).not.toContain('ready')
  const again = await brokers.start()
  expect(await queue.wrong(again.wire)).toEqual([])
  expect((await queue.send(again.wire)).code).toBe(0)
})

test('F14: without a free file handle strangers wait or are turned away, known clients go on, and the log waits for its next file', {
  timeout: 60_000,
}, async () => {
  await using brokers = new Brokers()
  const queue = new NumberedQueue('handles')
  const { broker, wire, port } = await brokers.start({ openFilesMax: 256 })
  expect(await queue.store(wire, 20, 20_000)).toBe(undefined)
  const strangers: Socket[] = []
  let turnedAway = 0
  for (let index = 0; index < 400; index++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => turnedAway++)
    strangers.push(socket)
  }
  // Three segments: at least two files that cannot be made. One message waits for its file; whoever comes then is told.
  const rest = queue.store(wire, 150, 20_000)
  await until(() => broker.err.includes('has no room'), 10_000)
  expect(await queue.send(wire)).toMatchObject({ code: 14, remark: expect.stringContaining('DISK_FULL') })
  expect(await queue.wrong(wire)).toEqual([])
  expect(broker.err).not.toMatch(/STORE_FENCED|uncaught/i)
  const held = strangers.length - turnedAway
  expect(held).toBeGreaterThan(0)
  for (const socket of strangers) socket.destroy()
  expect(await rest).toBe(undefined)
  await until(async () => (await queue.send(wire)).code === 0, 10_000)
  const late = new Wire(port)
  expect(await queue.store(late, 150, 20_000)).toBe(undefined)
  expect(await queue.wrong(late)).toEqual([])
  expect(await broker.stop('SIGTERM')).toBe('0')
  const again = await brokers.start()
  expect(await queue.wrong(again.wire)).toEqual([])
})

/** Receipt of the first message of an answer to a pop, and its body. */
async function pop(
  wire: Wire,
  topic: string,
  invisibleTime: number,
): Promise<{ receipt: string; body: string } | undefined> {
  const answer = await wire.request(200_050, {
    ...{ consumerGroup: 'paused', topic, queueId: -1, maxMsgNums: 1, invisibleTime, pollTime: 0 },
    ...{ bornTime: Date.now(), initMode: 0, expType: 'TAG', exp: '*', order: false },
  })
  if (answer.code !== 0) return undefined
  const { popTime, reviveQid, startOffsetInfo = '' } = answer.extFields ?? {}
  const body = answer.body.toString('latin1', 88, 88 + answer.body.readInt32BE(84))
  const known = answer.body.toString('latin1').split('POP_CK\u0001')[1]?.split('\u0002')[0]
  const start = startOffsetInfo.split(' ')[2]
  const offset = Number(answer.body.readBigInt64BE(20))
  return { body, receipt: known ?? `${start} ${popTime} ${invisibleTime} ${reviveQid} 0 tandemmq 0 ${offset}` }
}

async function ack(wire: Wire, topic: string, receipt: string): Promise<number> {
  const [, , , , retry, , queueId = '0', offset = '0'] = receipt.split(' ')
  const from = retry === '1' ? `%RETRY%paused_${topic}` : topic
  const fields = { consumerGroup: 'paused', topic: from, queueId, offset, extraInfo: receipt }
  return (await wire.request(200_051, fields)).code
}

test('F21: a broker that stood still loses nothing, and a lease that ended meanwhile is acknowledged or delivered again, never both', {
  timeout: 60_000 + 4 * pauseMs,
}, async () => {
  await using brokers = new Brokers()
  const { broker, wire, port } = await brokers.start()
  const sent = new NumberedQueue('paused-sends')
  const lanes = Array.from({ length: 8 }, () => sent.store(wire, 200, 1_000))
  await elapse(20)
  broker.signal('SIGSTOP')
  const other = new Wire(port)
  const whilePaused = sent.send(other)
  await elapse(pauseMs)
  broker.signal('SIGCONT')
  expect(await Promise.all(lanes)).toEqual(lanes.map(() => undefined))
  expect((await whilePaused).code).toBe(0)
  expect(sent.acknowledged.size).toBe(1_601)
  expect(await sent.wrong(other)).toEqual([])

  const leased = new NumberedQueue('paused-leases')
  expect(await leased.store(wire, 12, 100)).toBe(undefined)
  const held: { receipt: string; body: string }[] = []
  for (let index = 0; index < 12; index++) {
    const got = await pop(wire, leased.topic, 1_000)
    if (got !== undefined) held.push(got)
  }
  expect(new Set(held.map(({ body }) => body)).size).toBe(12)
  // A third before, a third while the broker stands still, a third when others hold the message.
  const accepted = new Set<string>()
  const note = async ({ receipt, body }: (typeof held)[0]): Promise<void> => {
    if ((await ack(wire, leased.topic, receipt)) === 0) accepted.add(body)
  }
  await Promise.all(held.slice(0, 4).map(note))
  expect(accepted.size).toBe(4)
  broker.signal('SIGSTOP')
  const during = held.slice(4, 8).map(note)
  await elapse(pauseMs)
  broker.signal('SIGCONT')
  await Promise.all([...during, elapse(300)])
  const again: string[] = []
  await until(async () => {
    const got = await pop(wire, leased.topic, 60_000)
    if (got !== undefined) again.push(got.body)
    return again.length >= 12 - accepted.size
  }, 10_000)
  const early = accepted.size
  await Promise.all(held.slice(8).map(note))
  expect(accepted.size, 'late acknowledgements that were accepted').toBe(early)
  expect(await pop(wire, leased.topic, 60_000)).toBe(undefined)
  expect([...accepted, ...again].toSorted()).toEqual(held.map(({ body }) => body).toSorted())
})

for (const [how, end] of [
  ['throw', '1'],
  ['reject', '1'],
  ['exit', '3'],
  ['memory', 'SIGABRT'],
] as const) {
  test(`F65: a host program that ends by ${how} takes no acknowledged message of the broker inside with it`, {
    timeout: 60_000,
  }, async () => {
    await using brokers = new Brokers()
    const acknowledged = new Map<number, string>()
    for (let round = 0; round < 2; round++) {
      const host = new ChildProgram({
        file: 'test/crash/embedding-host.mjs',
        args: [brokers.dataDir, 'embedded', how],
        env: { NODE_OPTIONS: '--max-old-space-size=64' },
      })
      expect(await host.ended(), host.err).toBe(end)
      for (const line of host.out.split('\n').slice(0, -1)) {
        const [, offset, body = ''] = /^0\/(\d+) (.*)$/.exec(line) ?? []
        expect(acknowledged.has(Number(offset)), `offset ${offset} given twice`).toBe(false)
        acknowledged.set(Number(offset), body)
      }
    }
    expect(acknowledged.size).toBeGreaterThanOrEqual(400)
    const { wire } = await brokers.start()
    const found = await new NumberedQueue('embedded').read(wire)
    expect([...acknowledged].filter(([offset, body]) => found.get(offset) !== body)).toEqual([])
  })
}
