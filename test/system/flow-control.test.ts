import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer } from '@tandemmq/client'
import { encodeCommand } from '@tandemmq/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { RawClient } from '../kit/raw-client.ts'
import { tandemUp, type TandemOptions } from '../kit/tandem-program.ts'
import { elapse, until } from '../kit/waiting.ts'

const MIB = 1 << 20
let directory: string
let broker: ChildProgram
let address: string
let programs: ChildProgram[] = []
let raws: RawClient[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-flow-'))
})

afterEach(async () => {
  for (const raw of raws.splice(0)) raw.socket.destroy()
  await Promise.all([...programs.splice(0), broker].map((program) => program.stop('SIGKILL')))
  await rm(directory, { recursive: true, force: true })
})

async function up(options: Partial<TandemOptions> = {}, port = 0): Promise<void> {
  const { set = {}, ...rest } = options
  broker = tandemUp({ dataDir: directory, port, set: { metricsPort: 0, ...set }, ...rest })
  address = await broker.ready()
  await until(() => broker.out.includes('Metrics on '), 5_000)
}

async function load(...args: (string | number)[]): Promise<ChildProgram> {
  const program = new ChildProgram({ file: 'test/kit/load-process.mjs', args: args.map(String), readyLine: /^ready$/m })
  programs.push(program)
  await program.ready()
  return program
}

async function outcomeOf<T>(program: ChildProgram): Promise<T> {
  expect([await program.ended(), program.err]).toEqual(['0', ''])
  return JSON.parse(program.out.trim().split('\n').at(-1) ?? '') as T
}

/** Samples of the broker's metrics by their whole name. */
async function metrics(): Promise<Map<string, number>> {
  const url = /^Metrics on (\S+)$/m.exec(broker.out)?.[1] ?? ''
  const text = await (await fetch(url)).text()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  )
}

const valueOf = async (name: string): Promise<number> => (await metrics()).get(name) ?? 0

/** The largest value of a metric until the returned function is called. */
function watch(...names: string[]): () => Promise<Map<string, number>> {
  const most = new Map<string, number>()
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      const values = await metrics()
      for (const name of names) most.set(name, Math.max(most.get(name) ?? 0, values.get(name) ?? 0))
      await elapse(50)
    }
  })()
  return async () => {
    over.abort()
    await watching
    return most
  }
}

/** Asks for the same messages again and again and reads no answer. */
async function deafReader(topic: string, pulls: number): Promise<RawClient> {
  const raw = await RawClient.connect(address)
  raws.push(raw)
  raw.socket.pause()
  const place = {
    consumerGroup: 'deaf',
    topic,
    queueId: 0,
    queueOffset: 0,
    maxMsgNums: 32,
    sysFlag: 4,
    commitOffset: 0,
  }
  const extFields = { ...place, suspendTimeoutMillis: 0, subscription: '*', subVersion: 0 }
  for (let n = 0; n < pulls; n++) raw.write(encodeCommand({ code: 11, version: 441, opaque: n + 1, extFields }))
  return raw
}

async function stored(topic: string): Promise<number> {
  await using admin = new Admin({ nameServers: address })
  await admin.start()
  const queues = await admin.queueOffsets(topic)
  return queues.reduce((sum, { minOffset, maxOffset }) => sum + Number(maxOffset - minOffset), 0)
}

test('F31: consumers that stop reading cost the broker a bounded memory, and others get every message meanwhile', async () => {
  // Less than they hold before their requests are not read any more.
  await up({ set: { outputBytesMax: 32 * MIB, flush: 'async', defaultQueues: 1 } })
  await outcomeOf(await load('produce', address, 'big', 64 * 1024, 200, 20))
  const before = await valueOf('tandemmq_resident_memory_bytes')
  const done = watch('tandemmq_output_bytes', 'tandemmq_resident_memory_bytes')
  // 10 x 2,000 x 256 KiB, if somebody let them.
  for (let n = 0; n < 10; n++) await deafReader('big', 2_000)
  const consumers = [
    await load('consume', address, 'big', 'one', 200),
    await load('consume', address, 'big', 'two', 200),
  ]
  for (const consumer of consumers) expect(await outcomeOf(consumer)).toEqual({ seen: 200 })
  const most = await done()
  expect(most.get('tandemmq_output_bytes')).toBeGreaterThan(4 * MIB)
  expect(most.get('tandemmq_output_bytes')).toBeLessThanOrEqual(36 * MIB)
  expect((most.get('tandemmq_resident_memory_bytes') ?? 0) - before).toBeLessThan(256 * MIB)
  await using producer = new Producer({ nameServers: address, group: 'p' })
  await producer.start()
  await producer.send({ topic: 'big', body: 'still served' })
})

test('F41: a broker with a small heap refuses what is too much, says when to come back, and stores everything in the end', async () => {
  const set = { hotBytesMax: 16 * MIB, outputBytesMax: 16 * MIB, dedupEntriesMax: 100_000, defaultQueues: 1 }
  await up({ set, env: { NODE_OPTIONS: '--max-old-space-size=128 --max-semi-space-size=2' } })
  await outcomeOf(await load('produce', address, 'big', 100_000, 50, 5))
  const done = watch('tandemmq_store_unsafe_bytes', 'tandemmq_resident_memory_bytes', 'tandemmq_output_bytes')
  for (let n = 0; n < 10; n++) await deafReader('big', 500)
  const producers = []
  // 4 x 150 x 100,000 bytes want to be in memory at once, seven times as much as the broker may hold.
  for (let n = 0; n < 4; n++) producers.push(await load('produce', address, 'load', 100_000, 500, 150))
  const outcomes = await Promise.all(
    producers.map((producer) => outcomeOf<{ stored: number; failed: object }>(producer)),
  )
  expect(outcomes).toEqual(outcomes.map(() => ({ stored: 500, failed: {} })))
  expect(await stored('load')).toBe(2_000)
  const most = await done()
  expect(await valueOf('tandemmq_requests_refused_total{code="SYSTEM_BUSY"}')).toBeGreaterThan(0)
  // What arrived in one turn is admitted by the first look.
  expect(most.get('tandemmq_store_unsafe_bytes')).toBeLessThan(16 * MIB)
  expect(most.get('tandemmq_resident_memory_bytes')).toBeLessThan(384 * MIB)
  expect(broker.isAlive).toBe(true)
})

test('F29: a thousand clients that lose their broker come back by themselves, once each, and it stays small', async () => {
  const port = await freePort()
  await up({}, port)
  await Promise.all([load('crowd', address, 500), load('crowd', address, 500)])
  const areThere = async (): Promise<boolean> => (await valueOf('tandemmq_connections')) >= 1_000
  await until(areThere, 30_000)
  const quiet = await valueOf('tandemmq_resident_memory_bytes')
  await broker.stop('SIGKILL')
  // Longer than their first tries.
  await elapse(1_000)
  await up({}, port)
  await until(areThere, 30_000)
  expect(await valueOf('tandemmq_connections_opened_total')).toBeLessThan(1_100)
  expect(await valueOf('tandemmq_connections_refused_total')).toBe(0)
  expect(await valueOf('tandemmq_resident_memory_bytes')).toBeLessThan(quiet + 64 * MIB)
})
