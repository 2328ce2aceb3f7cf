import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer, PushConsumer, TransactionProducer } from '@tandemmq/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { tandem, UpProgram } from '../kit/program.ts'

// Both sides are programs of their own: the broker, and the command as an operator or a script runs it.
let directory: string
let broker: UpProgram
let producer: Producer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tandem-commands-'))
  broker = await UpProgram.start(directory, '--set', 'transactionTimeoutMs=3600000')
  producer = new Producer({ nameServers: broker.address, group: 'shop' })
  await producer.start()
})

afterAll(async () => {
  await producer?.close()
  await broker?.stop()
  await rm(directory, { recursive: true, force: true })
})

const run = (...argv: string[]) => tandem(...argv, '--name-server', broker.address)

async function text(...argv: string[]): Promise<string> {
  const { code, out, err } = await run(...argv)
  expect([code, err]).toEqual([0, ''])
  return out
}

async function json<T = Record<string, unknown>>(...argv: string[]): Promise<T> {
  return JSON.parse(await text(...argv, '--json')) as T
}

test('a topic is created with settings, shown, changed one by one, and deleted', async () => {
  await text('topics', 'create', 'invoices', '--queues', '2', '--order', 'yes', '--attribute', 'message.type=FIFO')
  await producer.send({ topic: 'invoices', body: 'one' })
  await text('topics', 'update', 'invoices', '--perm', 'read', '--queues', '3')
  const shown = await json('topics', 'show', 'invoices')
  expect(shown).toEqual({
    topic: 'invoices',
    brokers: [
      {
        brokerName: 'tandemmq',
        readQueues: 3,
        writeQueues: 3,
        perm: 4,
        order: true,
        attributes: { 'message.type': 'FIFO' },
      },
    ],
    queues: [0, 1, 2].map((queueId) => ({
      brokerName: 'tandemmq',
      queueId,
      minOffset: '0',
      maxOffset: expect.stringMatching(/^[01]$/),
      ...((shown['queues'] as { storedAt?: string }[])[queueId]?.storedAt !== undefined && {
        storedAt: expect.stringMatching(/^20\d\d-.*Z$/),
      }),
    })),
    groups: [],
  })
  expect(await text('topics', 'show', 'invoices')).toContain('message.type=FIFO')
  await expect(producer.send({ topic: 'invoices', body: 'two' })).rejects.toMatchObject({ code: 'NO_PERMISSION' })
  await text('topics', 'update', 'invoices', '--attribute', 'message.type=', '--perm', 'read+write')
  expect(await json('topics', 'show', 'invoices')).toMatchObject({
    brokers: [{ attributes: {}, perm: 6, order: true }],
  })
  const { queues } = await json<{ queues: { queueId: number; maxOffset: string }[] }>('topics', 'show', 'invoices')
  const last = queues.findLast(({ maxOffset }) => maxOffset !== '0')?.queueId ?? 0
  const fewer = await text('topics', 'update', 'invoices', '--queues', '1')
  expect(fewer.includes(`tandemmq still reads from ${last + 1} queues`)).toBe(last > 0)
  expect(await json('topics', 'show', 'invoices')).toMatchObject({
    brokers: [{ readQueues: last + 1, writeQueues: 1 }],
  })
  await text('topics', 'delete', 'invoices')
  expect(await run('topics', 'show', 'invoices')).toMatchObject({
    code: 1,
    err: expect.stringContaining('tandem: [TOPIC_NOT_EXIST]'),
  })
})

test('a group is created, listed, changed, switched off and deleted, each as the next command sees it', async () => {
  const settings = { attemptsMax: 3, ordered: false, enabled: true, broadcast: true }
  expect(await json('groups', 'create', 'ledger', '--attempts', '3')).toMatchObject({ group: 'ledger', settings })
  expect(await json('groups', 'list')).toContainEqual({ group: 'ledger', members: 0, behind: '0' })
  const off = { ...settings, enabled: false }
  expect(await json('groups', 'update', 'ledger', '--enabled', 'no')).toMatchObject({ settings: off })
  expect(await json('groups', 'show', 'ledger')).toMatchObject({ group: 'ledger', settings: off, members: [] })
  expect(await json('groups', 'delete', 'ledger')).toEqual({ group: 'ledger', deleted: true, positions: false })
  expect(JSON.stringify(await json('groups', 'list'))).not.toContain('ledger')
  expect(await run('groups', 'update', 'ledger', '--enabled', 'yes')).toMatchObject({
    code: 1,
    err: expect.stringContaining('tandem: [GROUP_NOT_EXIST]'),
  })
})

test('a message sent by the command is handled by a consumer, found by key, and shown as it was sent', async () => {
  const handled: unknown[] = []
  await using consumer = new PushConsumer({ nameServers: broker.address, group: 'stock', startFrom: 'first' })
  consumer.subscribe('parcels', { tags: ['sent'] }, (message) => {
    handled.push([message.body.toString('hex'), message.tag, message.keys, message.properties['region']])
  })
  const sent = ['--tag', 'sent', '--key', 'p-1', '--key', 'p-2', '--property', 'region=eu', '--dedup-key', 'd']
  const receipt = await json('messages', 'send', 'parcels', 'AQID', '--base64', ...sent)
  expect(receipt).toMatchObject({ topic: 'parcels', queueOffset: '0', duplicate: false })
  const again = await json('messages', 'send', 'parcels', 'AQID', '--base64', ...sent)
  expect(again).toMatchObject({ messageId: receipt['messageId'], duplicate: true })
  await consumer.start()
  await expect.poll(() => handled, { timeout: 15_000 }).toEqual([['010203', 'sent', ['p-1', 'p-2'], 'eu']])
  const [found, ...others] = await json<Record<string, unknown>[]>(
    ...['messages', 'query', '--topic', 'parcels', '--key', 'p-2'],
  )
  expect(others).toEqual([])
  expect(found).toMatchObject({ messageId: receipt['messageId'], queueOffset: '0', bodyBytes: 3 })
  expect(await json('messages', 'show', String(receipt['messageId']), '--topic', 'parcels')).toEqual(found)
  expect(found?.['body'] ?? Buffer.from(String(found?.['bodyBase64']), 'base64').toString()).toBe('\u0001\u0002\u0003')
})

test('tail prints what is there and what comes, one JSON document per line, moves no group, and ends on SIGTERM', async () => {
  await text('topics', 'create', 'visits', '--queues', '1')
  for (const body of ['a', 'b']) await producer.send({ topic: 'visits', tag: 'in', body })
  const tail = new ChildProgram({
    file: 'packages/cli/bin/tandem.js',
    args: ['messages', 'tail', 'visits', '--from', 'first', '--tag', 'in', '--json', '--name-server', broker.address],
  })
  const bodies = (): string[] =>
    tail.out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { body: string }).body)
  await expect.poll(bodies, { timeout: 15_000 }).toEqual(['a', 'b'])
  await producer.send({ topic: 'visits', tag: 'out', body: 'not for us' })
  await producer.send({ topic: 'visits', tag: 'in', body: 'c' })
  await expect.poll(bodies, { timeout: 15_000 }).toEqual(['a', 'b', 'c'])
  expect(await tail.stop()).toBe('0')
  expect(tail.err).toBe('')
  expect(await text('messages', 'tail', 'visits', '--from', 'first', '--max', '1')).toMatch(/ in - a\n$/)
  expect(await json('topics', 'show', 'visits')).toMatchObject({ groups: [] })
  expect(JSON.stringify(await json('groups', 'list'))).not.toContain('TOOLS')
})

test('an open half message is listed, shown with its body, decided by hand, and then consumed', async () => {
  await using payments = new TransactionProducer({
    nameServers: broker.address,
    group: 'payments',
    check: () => Promise.resolve('unknown' as const),
  })
  await payments.start()
  const undecided = () => Promise.resolve('unknown' as const)
  for (const body of ['keep', 'drop']) {
    await payments.sendInTransaction({ topic: 'paid', keys: [body], body }, undecided)
  }
  const open = await json<{ physicalOffset: string; keys: string; topic: string }[]>('transactions', 'list')
  expect(open).toMatchObject([
    { group: 'payments', topic: 'paid', keys: 'keep', physicalOffset: expect.stringMatching(/^\d+$/) },
    { group: 'payments', topic: 'paid', keys: 'drop' },
  ])
  const [keep = '', drop = ''] = open.map(({ physicalOffset }) => physicalOffset)
  expect(await json('transactions', 'show', keep)).toMatchObject({ group: 'payments', message: { body: 'keep' } })
  expect(await text('transactions', 'show', drop)).toMatch(/for topic {3}paid[^]*drop\n$/)
  expect(await json('transactions', 'resolve', keep, 'commit')).toEqual({ at: keep, outcome: 'committed' })
  const who = ['--by', 'mara', '--reason', 'never placed']
  expect(await json('transactions', 'resolve', drop, 'rollback', ...who)).toEqual({ at: drop, outcome: 'rolledBack' })
  expect(await json('transactions', 'list', '--resolved')).toMatchObject([
    {
      decision: 'rollback',
      outcome: 'rolledBack',
      by: 'mara',
      reason: 'never placed',
      topic: 'paid',
      group: 'payments',
    },
    { decision: 'commit', outcome: 'committed' },
  ])
  expect(await text('transactions', 'list', '--resolved')).toMatch(/mara +127\.0\.0\.1:\d+ +rollback +rolledBack/)
  expect(await json('transactions', 'list')).toEqual([])
  expect(await text('messages', 'tail', 'paid', '--from', 'first', '--max', '1')).toMatch(/ keep\n$/)
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  const messages = (await admin.queueOffsets('paid')).reduce((sum, one) => sum + one.maxOffset - one.minOffset, 0n)
  expect(messages).toBe(1n)
})

test('the figures of a broker are shown with their meaning, and to programs under the names of the metrics', async () => {
  const [shown] = await json<{ brokerName: string; address: string; figures: { name: string; value: number }[] }[]>(
    ...['broker', 'show'],
  )
  expect(shown).toMatchObject({ brokerName: 'tandemmq', address: broker.address })
  const received = shown?.figures.find(({ name }) => name === 'tandemmq_messages_received_total')
  expect(received?.value).toBeGreaterThan(0)
  const out = await text('broker', 'show')
  expect(out).toMatch(/^messages_received_total +\d+ +Messages accepted from producers/m)
  expect(out).toMatch(/^send_duration_seconds +\d+, p50 <= [\d.]+ ms, p99 <= [\d.]+ ms +From the arrival/m)
  expect(out).toMatch(/^resident_memory_bytes +\d+\.\d MiB /m)
})

test.each([
  [['broker', 'show', 'extra'], 'one word too many'],
  [['topics', 'show'], 'TOPIC is missing'],
  [['topics', 'update', 'a'], 'nothing to change'],
  [['topics', 'update', 'a', '--perm', 'all'], '--perm is one of read, write, read+write, none'],
  [['topics', 'create', 'a', '--attribute', 'colour'], '--attribute takes NAME=VALUE'],
  [['topics', 'delete', 'a', 'b'], 'one word too many'],
  [['groups', 'create'], 'GROUP is missing'],
  [['groups', 'update', 'g'], 'nothing to change'],
  [['groups', 'create', 'g', '--ordered', 'maybe'], '--ordered is one of yes, no'],
  [['groups', 'delete'], 'GROUP is missing'],
  [['messages', 'send', 'a'], 'BODY is missing'],
  [['messages', 'send', 'a', 'b', '--property', 'p'], '--property takes NAME=VALUE'],
  [['messages', 'send', 'a', '?', '--base64'], 'not base64'],
  [['messages', 'tail', 'a', '--from', 'soon'], '--from takes first, last or an instant'],
  [['messages', 'tail', 'a', '--tag', 't', '--sql', 's = 1'], 'exclude each other'],
  [['transactions', 'show', 'x'], 'AT is the number'],
  [['transactions', 'resolve', '1', 'maybe'], 'commit or rollback'],
])('%j is wrong usage: exit code 2 and the way to the help', async (argv, words) => {
  const { code, out, err } = await run(...argv)
  expect([code, out]).toEqual([2, ''])
  expect(err).toContain(words)
  expect(err).toContain(`See: tandem ${argv[0]} ${argv[1]} --help`)
})

test('what a command needs and does not find is a failure with a code: exit code 1 and one line', async () => {
  const failures: [string[], string][] = [
    [['topics', 'update', 'nowhere', '--queues', '3'], 'TOPIC_NOT_EXIST'],
    [['messages', 'tail', 'nowhere', '--max', '1'], 'ROUTE_NOT_FOUND'],
    [['messages', 'send', 'no good', 'x'], 'TOPIC_NAME_INVALID'],
    [['transactions', 'show', '999999'], 'QUERY_NOT_FOUND'],
    [['transactions', 'resolve', '999999', 'commit'], 'QUERY_NOT_FOUND'],
    [['groups', 'create', 'g', '--attempts', '0'], 'INVALID_PARAMETER'],
  ]
  for (const [argv, code] of failures) {
    expect(await run(...argv)).toMatchObject({ code: 1, out: '', err: expect.stringContaining(`tandem: [${code}]`) })
  }
})
