import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, startBroker } from '@tandemmq/broker'
import { Admin, Producer, PushConsumer, RejectMessage } from '@tandemmq/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { called, calledJson } from './call-test-kit.ts'

let directory: string
let broker: Broker

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-cli-'))
  broker = await startBroker({ dataDir: directory, port: 0, flush: 'async' })
})

afterAll(async () => {
  await broker?.close()
  rmSync(directory, { recursive: true, force: true })
})

const tandem = (...argv: string[]) => called(...argv, '--name-server', broker.address)
const json = (...argv: string[]) => calledJson<unknown>(...argv, '--name-server', broker.address)

/** Messages `m0` … in `group`'s dead letters, each with its own reason. */
async function dead(group: string, count: number): Promise<string[]> {
  await using producer = new Producer({ nameServers: broker.address, group: 'shop' })
  await producer.start()
  const messages = Array.from({ length: count }, (_, n) => ({ topic: group, body: `m${n}` }))
  const receipts = await producer.sendAll(messages)
  await using consumer = new PushConsumer({ nameServers: broker.address, group, startFrom: 'first', concurrencyMax: 1 })
  consumer.subscribe(group, '*', (message) => {
    throw new RejectMessage(`no amount in ${message.text()}`)
  })
  await consumer.start()
  await expect.poll(() => json('dead-letters', 'list', group, '--max', '1000'), { timeout: 10_000 }).toHaveLength(count)
  return receipts.map(({ messageId }) => messageId)
}

test('dead letters are listed, filtered and shown with reason, attempts and origin', async () => {
  const ids = await dead('billing', 3)
  const listed = await tandem('dead-letters', 'list', 'billing')
  expect(listed.out).toMatch(/^BROKER +OFFSET +MESSAGE +TOPIC +ATTEMPTS +DIED +REDRIVEN +REASON\n/)
  expect(await json('dead-letters', 'list', 'billing', '--reason', 'in m1')).toMatchObject([
    {
      reason: 'no amount in m1',
      attempts: 1,
      isRedriven: false,
      origin: { topic: 'billing' },
      message: { body: 'm1' },
    },
  ])
  expect(await json('dead-letters', 'list', 'billing', '--topic', 'others')).toEqual([])
  expect(await json('dead-letters', 'list', 'billing', '--to', '2020-01-01T00:00:00Z')).toEqual([])
  expect((await tandem('dead-letters', 'list', 'nobody')).out).toBe('group nobody has no such dead letters')
  const shown = await tandem('dead-letters', 'show', 'billing', ids[2]!)
  expect(shown.out).toMatch(/^reason +no amount in m2\nattempts +1\ndied .+\ncame from +billing, queue \d, offset \d/)
  expect((await tandem('dead-letters', 'show', 'billing', 'none')).err).toContain('QUERY_NOT_FOUND')
  expect((await tandem('dead-letters', 'list', 'billing', '--from', 'soon')).code).toBe(2)
})

test('a redrive counts in a dry run, sends each chosen one back once, and only its group gets it, as a first attempt', async () => {
  const ids = await dead('stock', 5)
  const redrive = (...more: string[]) => json('dead-letters', 'redrive', 'stock', ...more)
  expect(await redrive('--dry-run')).toMatchObject({ dryRun: true, matched: 5, redriven: 0 })
  expect(await redrive('--id', ids[3]!, '--id', ids[1]!)).toMatchObject({ matched: 2, redriven: 2 })
  expect(await redrive('--max', '1', '--rate', '50')).toMatchObject({ matched: 1, redriven: 1 })
  expect((await tandem('dead-letters', 'redrive', 'stock')).out).toBe('2 dead letters went back to group stock')
  expect(await redrive()).toMatchObject({ matched: 0, redriven: 0 })
  expect(await json('dead-letters', 'list', 'stock')).toEqual([])
  expect(await json('dead-letters', 'list', 'stock', '--redriven')).toHaveLength(5)
  const seen: string[] = []
  await using others = new PushConsumer({ nameServers: broker.address, group: 'others', startFrom: 'last' })
  others.subscribe('stock', '*', (message) => void seen.push(`others ${message.text()}`))
  await others.start()
  await using consumer = new PushConsumer({ nameServers: broker.address, group: 'stock' })
  consumer.subscribe('stock', '*', (message) => void seen.push(`${message.topic} ${message.text()} ${message.attempt}`))
  await consumer.start()
  await expect.poll(() => seen.toSorted(), { timeout: 10_000 }).toEqual([0, 1, 2, 3, 4].map((n) => `stock m${n} 1`))
})

test('a redriven message that dies again is one dead letter more, and is not taken by the redrive that sent it', async () => {
  await dead('returns', 2)
  await using consumer = new PushConsumer({ nameServers: broker.address, group: 'returns' })
  consumer.subscribe('returns', '*', () => {
    throw new RejectMessage('still not')
  })
  await consumer.start()
  expect(await json('dead-letters', 'redrive', 'returns')).toMatchObject({ matched: 2, redriven: 2 })
  await expect
    .poll(() => json('dead-letters', 'list', 'returns'), { timeout: 10_000 })
    .toMatchObject([
      { reason: 'still not', attempts: 1, origin: { topic: 'returns' } },
      { reason: 'still not', attempts: 1, origin: { topic: 'returns' } },
    ])
  expect(await json('dead-letters', 'list', 'returns', '--redriven')).toHaveLength(4)
})

test('the pauses and attempts of a group are changed and read back', async () => {
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  const update = (...more: string[]) => tandem('groups', 'update', 'slow', ...more)
  expect((await update('--attempts', '3')).err).toContain('GROUP_NOT_EXIST')
  await admin.createGroup('slow', { ordered: true })
  expect((await update('--retry', '1s,10s,5m', '--attempts', '4')).out).toBe(
    'group slow is changed: 4 deliveries, pauses 1s,10s,5m',
  )
  expect(await admin.groupSettings('slow')).toMatchObject({
    ordered: true,
    retry: { delaysMs: [1_000, 10_000, 300_000] },
  })
  expect((await update('--retry', '5s*1.5..2h')).out).toBe('group slow is changed: 4 deliveries, pauses 5s*1.5..2h')
  expect((await update('--attempts', 'unlimited')).out).toBe(
    'group slow is changed: unlimited deliveries, pauses 5s*1.5..2h',
  )
  expect((await update('--retry', 'levels')).out).toBe('group slow is changed: unlimited deliveries, pauses levels')
  for (const wrong of ['soon', '1s*', '1s*2', '5s*2..1s', '']) expect((await update('--retry', wrong)).code).not.toBe(0)
  expect((await update()).code).toBe(2)
})
