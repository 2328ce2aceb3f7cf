import { Admin, PushConsumer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'

// The broker and every producer in processes of their own; producers die with kill -9.
const slowly = { timeout: 20_000 }
const running = new Running()
let dataDir: string
let port: number

beforeEach(async () => {
  dataDir = running.directory('domains')
  port = await freePort()
})

function broker(): Promise<ChildProgram> {
  const set = { transactionTimeoutMs: 300, transactionCheckIntervalMs: 500, flush: 'sync' }
  return running.program(tandemUp({ dataDir, port, set }))
}

function producer(group: string, domain: string, answer: string, count = 0): Promise<ChildProgram> {
  const args = [`127.0.0.1:${port}`, group, domain, answer, String(count)]
  return running.program(new ChildProgram({ file: 'test/kit/domain-process.mjs', args, readyLine: /^(ready)$/m }))
}

const asked = ({ out }: ChildProgram): string[] => out.split('\n').filter((line) => line.startsWith('asked'))
const each = (count: number): string[] => Array.from({ length: count }, (_, n) => `asked t-${n}`)

async function watch(): Promise<{ seen: string[]; admin: Admin }> {
  const admin = new Admin({ nameServers: `127.0.0.1:${port}` })
  const seen: string[] = []
  const consumer = new PushConsumer({ nameServers: `127.0.0.1:${port}`, group: 'billing', startFrom: 'first' })
  consumer.subscribe('payments', '*', (message) => void seen.push(message.text()))
  for (const one of [admin, consumer]) await running.client(one)
  return { seen, admin }
}

const evens = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => n)
    .filter((n) => n % 2 === 0)
    .flatMap((n) => [`${n}a`, `${n}b`])

test('the sender is killed: only programs of its database are asked, whatever their group, and a clone that says "not mine" is passed over', async () => {
  await broker()
  const sender = await producer('shop', 'db1', 'unknown', 10)
  await sender.stop('SIGKILL')
  const stranger = await producer('shop', 'db2', 'even')
  const classic = await producer('shop', '-', 'even')
  const { seen, admin } = await watch()
  await expect.poll(async () => (await admin.transactions()).length, slowly).toBe(20)
  const clone = await producer('tools', 'db1', 'notMine')
  await expect.poll(() => new Set(asked(clone)), slowly).toEqual(new Set(each(10)))
  const resolver = await producer('resolvers', 'db1', 'even')
  await expect.poll(() => admin.transactions(), slowly).toEqual([])
  await expect.poll(() => seen.toSorted(), slowly).toEqual(evens(10))
  // Asking twice is harmless; what counts is decided once.
  expect(new Set(asked(resolver))).toEqual(new Set(each(10)))
  expect([...asked(stranger), ...asked(classic)]).toEqual([])
}, 60_000)

test('a producer that hangs while it is asked is killed, then the broker: another program of the database decides, once each', async () => {
  const first = await broker()
  const sender = await producer('shop', 'db1', 'hang', 6)
  await expect.poll(() => new Set(asked(sender)), slowly).toEqual(new Set(each(6)))
  await first.stop('SIGKILL')
  await sender.stop('SIGKILL')
  const resolver = producer('resolvers', 'db1', 'even')
  await broker()
  await resolver
  const { seen, admin } = await watch()
  await expect.poll(() => admin.transactions(), slowly).toEqual([])
  await expect.poll(() => seen.toSorted(), slowly).toEqual(evens(6))
  expect(asked(await resolver).toSorted()).toEqual(each(6))
}, 60_000)
