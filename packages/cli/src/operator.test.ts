import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBroker } from '@tandemmq/broker'
import type { Broker } from '@tandemmq/broker'
import { Producer, PushConsumer } from '@tandemmq/client'
import type { SendReceipt } from '@tandemmq/client'
import { startTestDatabase } from '@tandemmq/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { called, calledJson } from './call-test-kit.ts'
import { main } from './main.ts'

let directory: string
let broker: Broker
let producer: Producer
let receipt: SendReceipt

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-cli-'))
  broker = await startBroker({ dataDir: directory, port: 0 })
  producer = new Producer({ nameServers: broker.address, group: 'shop' })
  await producer.start()
  receipt = await producer.send({ topic: 'orders', tag: 'created', keys: ['o-1'], body: { id: 'o-1' } })
})

afterAll(async () => {
  await producer?.close()
  await broker?.close()
  rmSync(directory, { recursive: true, force: true })
})

const tandem = (...argv: string[]) => called(...argv, '--name-server', broker.address)
const json = <T>(...argv: string[]) => calledJson<T>(...argv, '--name-server', broker.address)

test('a topic is created, listed with its messages, and deleted', async () => {
  expect((await tandem('topics', 'create', 'payments', '--queues', '2')).out).toBe('topic payments has 2 queues')
  const listed = await json<unknown[]>('topics', 'list')
  expect(listed).toContainEqual({ topic: 'payments', queues: 2, messages: '0' })
  expect(listed).toContainEqual({ topic: 'orders', queues: 4, messages: '1' })
  expect(listed.some((row) => (row as { topic: string }).topic === 'TBW102')).toBe(false)
  expect((await tandem('topics', 'list')).out).toMatch(/^TOPIC +QUEUES +MESSAGES\n/)
  await tandem('topics', 'delete', 'payments')
  expect(JSON.stringify(await json('topics', 'list'))).not.toContain('payments')
})

test('a message is found by key and shown with its body by both of its ids', async () => {
  const found = await json<{ messageId: string }[]>('messages', 'query', '--topic', 'orders', '--key', 'o-1')
  expect(found).toMatchObject([{ messageId: receipt.messageId, tag: 'created', body: '{"id":"o-1"}' }])
  expect(await json('messages', 'query', '--topic', 'orders', '--key', 'o-9')).toEqual([])
  for (const id of [[receipt.messageId, '--topic', 'orders'], [receipt.offsetMessageId]]) {
    const { out } = await tandem('messages', 'show', ...id)
    expect(out).toContain('topic       orders, tag created')
    expect(out.endsWith('{"id":"o-1"}')).toBe(true)
  }
})

test('messages are listed by the time they were stored', async () => {
  const [all] = await json<{ messageId: string; storedAt: string }[]>('messages', 'list', '--topic', 'orders')
  expect(all?.messageId).toBe(receipt.messageId)
  const at = Date.parse(all?.storedAt ?? '')
  const list = (...span: string[]): Promise<unknown[]> => json('messages', 'list', '--topic', 'orders', ...span)
  const iso = (ms: number): string => new Date(ms).toISOString()
  expect(await list('--from', iso(at), '--to', iso(at))).toHaveLength(1)
  expect(await list('--from', iso(at + 1))).toEqual([])
  expect(await list('--to', iso(at - 1))).toEqual([])
  expect((await tandem('messages', 'list', '--topic', 'orders')).out).toMatch(/^MESSAGE +TAG +KEYS +STORED/)
  expect((await tandem('messages', 'list', '--topic', 'orders', '--to', iso(at - 1))).out).toContain(
    'no message of orders',
  )
})

test('a message that is not there is a failure with a code', async () => {
  const { code, err } = await tandem('messages', 'show', '00000000000000000000000000000000', '--topic', 'orders')
  expect(code).toBe(1)
  expect(err).toContain('tandem: [QUERY_NOT_FOUND]')
})

test('a group is listed, shown, and moved back to the beginning', async () => {
  const heard: string[] = []
  let wake = (): void => {}
  const consumer = new PushConsumer({ nameServers: broker.address, group: 'billing', startFrom: 'first' })
  consumer.subscribe('orders', { tags: ['created'] }, (message) => {
    heard.push(message.messageId)
    wake()
  })
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  const first = next()
  await consumer.start()
  await first
  const shown = await json<{ members: unknown[]; subscriptions: unknown }>('groups', 'show', 'billing')
  expect(shown.members).toHaveLength(1)
  expect(shown.subscriptions).toMatchObject({ orders: 'created' })
  await consumer.close()

  expect(await json('groups', 'list')).toContainEqual({ group: 'billing', members: 0, behind: '0' })
  expect((await tandem('groups', 'show', 'billing')).out).toMatch(/^nobody is connected\n/)
  const dry = ['offsets', 'reset', '--group', 'billing', '--topic', 'orders', '--to', 'first', '--dry-run']
  const preview = await json<{ reset: boolean; queues: { first?: { messageId: string } }[] }>(...dry)
  expect(preview).toMatchObject({ reset: false, replayed: '1', skipped: '0' })
  expect(preview.queues.flatMap((queue) => queue.first?.messageId ?? [])).toEqual([receipt.messageId])
  expect((await tandem(...dry)).out).toMatch(/^group billing would go on from first in topic orders: 1 delivered again/)
  expect(await json('groups', 'list')).toContainEqual({ group: 'billing', members: 0, behind: '0' })
  const { out } = await tandem('offsets', 'reset', '--group', 'billing', '--topic', 'orders', '--to', 'first')
  expect(out).toMatch(/^group billing goes on from first in topic orders: 1 delivered again, stored \S+ to \S+\n/)
  const positions = await json<{ committedOffset: string }[]>(
    'offsets',
    'show',
    '--group',
    'billing',
    '--topic',
    'orders',
  )
  expect(positions.map(({ committedOffset }) => committedOffset)).toEqual(['0', '0', '0', '0'])
  expect(await json('groups', 'list')).toContainEqual({ group: 'billing', members: 0, behind: '1' })
})

test.each([
  [['topics', 'create'], 'TOPIC is missing'],
  [['topics', 'create', 'a', '--queues', 'many'], '--queues'],
  [['offsets', 'show'], '--group is missing'],
  [['offsets', 'reset', '--group', 'g', '--topic', 't', '--to', 'yesterday'], 'first, last or an instant'],
  [['messages', 'list', '--topic', 't', '--from', 'yesterday'], '--from takes an instant'],
  [['transactions', 'resolve', '12', 'perhaps'], 'commit or rollback'],
  [['outbox', 'status', '--schema', 'a;b', '--database', 'postgres://x'], '--schema'],
])('%j is wrong usage', async (argv, words) => {
  const { code, err } = await tandem(...(argv as string[]))
  expect(code).toBe(2)
  expect(err).toContain(words)
})

test('an illegal topic name and a broker that is not there are failures with codes', async () => {
  const illegal = await tandem('topics', 'create', 'no good')
  expect([illegal.code, illegal.err]).toEqual([1, expect.stringContaining('tandem: [TOPIC_NAME_INVALID]')])
  const err: string[] = []
  const io = { out: () => {}, err: (line: string) => void err.push(line), stop: new AbortController().signal }
  expect(await main(['topics', 'list', '--name-server', '127.0.0.1:1'], io)).toBe(1)
  expect(err[0]).toMatch(/^tandem: \[CONNECT_FAILED\] [^\n]+$/)
})

test('an open transaction is listed and decided by hand', async () => {
  expect((await tandem('transactions', 'list')).out).toBe('no open transactions')
  const { code, err } = await tandem('transactions', 'resolve', '999', 'rollback')
  expect([code, err]).toEqual([1, expect.stringContaining('tandem: [QUERY_NOT_FOUND]')])
})

test('the outbox is migrated and its state shown; without tables it says what to do', async () => {
  await using database = await startTestDatabase()
  const missing = await tandem('outbox', 'status', '--database', database.url)
  expect([missing.code, missing.err]).toEqual([1, expect.stringMatching(/\[SCHEMA_MISSING\].*tandem outbox migrate/)])
  for (let run = 0; run < 2; run++) expect((await tandem('outbox', 'migrate', '--database', database.url)).code).toBe(0)
  const status = await json<{ markers: unknown }>('outbox', 'status', '--database', database.url)
  expect(status).toMatchObject({
    schema: 'tandem',
    markers: { committed: 0, forwarded: 0, tombstones: 0, oldestSeconds: null },
    waiting: { rows: 0 },
    dead: 0,
  })
  expect((await tandem('outbox', 'status', '--database', database.url)).out).toContain('dead messages')
})

test('a Postgres that is not there is one line with a code', async () => {
  const { code, err } = await tandem('outbox', 'migrate', '--database', 'postgres://nobody@127.0.0.1:1/none')
  expect(code).toBe(1)
  expect(err).toMatch(/^tandem: \[DATABASE_UNAVAILABLE\] [^\n]+$/)
})
