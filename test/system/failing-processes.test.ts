import { Admin, Producer, PushConsumer, type PushConsumerOptions, RejectMessage } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { until } from '../kit/waiting.ts'

const SLOWLY = 25_000
const LOCK_MS = 3_000

let folder: ReturnType<typeof temporaryDirectory>
let port: number
let broker: ChildProgram
let address: string
const started: ChildProgram[] = []
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  folder = temporaryDirectory('failing')
  port = await freePort()
  await up()
})

afterEach(async () => {
  for (const close of closing.splice(0)) await close().catch(() => undefined)
  await Promise.all(started.splice(0).map((one) => one.stop('SIGKILL')))
  await broker.stop('SIGKILL')
  folder.remove()
})

async function up(): Promise<void> {
  broker = tandemUp({ dataDir: folder.path, port, set: { lockMaxLiveMs: LOCK_MS, flush: 'async' } })
  address = await broker.ready()
}

interface Dying {
  dieOn?: string
  dieBy?: 'memory'
}
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=48' }

/** A consumer in a process of its own. */
function member(options: Partial<PushConsumerOptions>, more: Dying & { workMs?: number } = {}): ChildProgram {
  const own = { nameServers: address, group: 'g', startFrom: 'first', rebalanceIntervalMs: 500, ...options }
  const args = [JSON.stringify({ options: own, topic: 'orders', ...more })]
  const child = new ChildProgram({
    file: 'test/kit/consumer-process.mjs',
    args,
    readyLine: /^ready$/m,
    env: SMALL_HEAP,
  })
  started.push(child)
  return child
}

async function admin(): Promise<Admin> {
  const one = new Admin({ nameServers: address })
  await one.start()
  closing.push(() => one.close())
  return one
}

async function producer(): Promise<Producer> {
  const one = new Producer({ nameServers: address, group: 'p' })
  await one.start()
  closing.push(() => one.close())
  return one
}

const linesOf = (...members: ChildProgram[]): string[] => members.flatMap(({ out }) => out.split('\n')).filter(Boolean)

test.each<[string, Dying]>([
  ['kills its consumer', { dieOn: 'poison' }],
  ['runs its consumer out of memory', { dieOn: 'poison', dieBy: 'memory' }],
])('F59: a message that %s each time is a dead letter after its attempts, and the others go on', async (_, dying) => {
  const operator = await admin()
  await operator.createGroup('g', { attemptsMax: 3 })
  const shop = await producer()
  for (const body of ['a', 'poison', 'b', 'c', 'd']) await shop.send({ topic: 'orders', body })
  const options = { mode: 'lease', invisibleMs: 2_000, concurrencyMax: 1 } as const
  let deaths = 0
  let out = ''
  let current = member(options, dying)
  const reasons = async (): Promise<string[]> => {
    const list: string[] = []
    for await (const { reason, message, attempts } of operator.deadLetters('g')) {
      list.push(`${message.text()} ${attempts}: ${reason}`)
    }
    return list
  }
  await until(
    async () => {
      if (!current.isAlive) {
        out += current.out
        deaths++
        current = member(options, dying)
      }
      return (await reasons()).length > 0
    },
    SLOWLY,
    () => `${deaths} deaths, ${out}${current.out}`,
  )
  expect(await reasons()).toEqual(['poison 3: 3 deliveries failed'])
  const all = (): string => out + current.out
  await until(() => ['a', 'b', 'c', 'd'].every((body) => all().includes(`end - ${body}\n`)), SLOWLY, all)
  const begun = all().match(/^begin - poison \d/gm) ?? []
  expect(begun.at(-1)).toBe('begin - poison 3')
  expect(begun).toHaveLength(deaths)
  expect(deaths).toBeLessThanOrEqual(3)
})

test.each([
  ['locks', { ordered: true, commitIntervalMs: 200 }],
  ['leases by key', { mode: 'lease', ordered: { by: 'key' }, invisibleMs: 2_000 }],
] as const)(
  'F58: an ordered consumer (%s) killed in the middle of a key: another one repeats that message and goes on in order',
  async (_, options) => {
    const shop = await producer()
    const keys = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5']
    const send = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n++) {
        for (const key of keys) await shop.send({ topic: 'orders', body: `${n}`, orderBy: key, keys: [key] })
      }
    }
    const first = member({ ...options, clientId: 'first' }, { workMs: 60 })
    const second = member({ ...options, clientId: 'second' }, { workMs: 60 })
    await Promise.all([first.ready(), second.ready()])
    await send(0, 5)
    const hasEnded = ({ out }: ChildProgram): boolean => out.includes('end k')
    await until(() => hasEnded(first) && hasEnded(second), SLOWLY)
    await send(5, 10)
    await until(() => linesOf(first).at(-1)?.startsWith('begin') === true, SLOWLY)
    expect(await first.stop('SIGKILL')).toBe('SIGKILL')
    const ended = (): Set<string> => new Set(linesOf(first, second).filter((line) => line.startsWith('end')))
    await until(
      () => ended().size === 60,
      SLOWLY,
      () => `${ended().size} of 60`,
    )
    for (const key of keys) {
      const begun = linesOf(first, second).filter((line) => line.startsWith(`begin ${key} `))
      const inTime = begun.toSorted((a, b) => Number(a.split('@')[1]) - Number(b.split('@')[1]))
      const order = [...new Set(inTime.map((line) => Number(line.split(' ')[2])))]
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
  },
)

test('F60: a redrive killed half-way, and a broker killed under the next one, are completed by a third: each message comes back once', async () => {
  const COUNT = 120
  const shop = await producer()
  await shop.sendAll(Array.from({ length: COUNT }, (_, n) => ({ topic: 'orders', body: `m${n}` })))
  const operator = await admin()
  const rejecting = new PushConsumer({ nameServers: address, group: 'g', startFrom: 'first' })
  rejecting.subscribe('orders', '*', () => {
    throw new RejectMessage('not today')
  })
  await rejecting.start()
  const listed = async (redriven: boolean): Promise<number> => {
    let count = 0
    for await (const one of operator.deadLetters('g', { redriven })) if (one.isRedriven === redriven) count++
    return count
  }
  await until(async () => (await listed(false)) === COUNT, SLOWLY)
  await rejecting.close()
  const redrive = (...more: string[]): ChildProgram => {
    const args = ['dead-letters', 'redrive', 'g', '--name-server', address, ...more]
    const child = new ChildProgram({ file: 'packages/cli/bin/tandem.js', args })
    started.push(child)
    return child
  }
  const first = redrive('--rate', '20')
  await until(async () => (await listed(true)) >= 20, SLOWLY)
  expect(await first.stop('SIGKILL')).toBe('SIGKILL')
  const half = await listed(true)
  expect(half).toBeLessThan(COUNT)
  const second = redrive('--rate', '20')
  await until(async () => (await listed(true)) > half, SLOWLY)
  await broker.stop('SIGKILL')
  await second.stop('SIGKILL')
  await up()
  expect(await redrive().ended()).toBe('0')
  expect([await listed(false), await listed(true)]).toEqual([0, COUNT])
  const seen: string[] = []
  const consumer = new PushConsumer({ nameServers: address, group: 'g' })
  consumer.subscribe('orders', '*', (message) => void seen.push(`${message.text()} ${message.attempt}`))
  await consumer.start()
  closing.push(() => consumer.close())
  await until(() => seen.length >= COUNT, SLOWLY)
  await shop.send({ topic: 'orders', body: 'last' })
  await until(() => seen.some((line) => line.startsWith('last')), SLOWLY)
  const expected = Array.from({ length: COUNT }, (_, n) => `m${n} 1`)
  expect(seen.filter((line) => !line.startsWith('last')).toSorted()).toEqual(expected.toSorted())
})
