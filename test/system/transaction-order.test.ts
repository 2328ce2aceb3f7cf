import { Admin } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { freePort } from '../kit/free-port.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { until } from '../kit/waiting.ts'

const SLOWLY = 60_000
const MESSAGES = 60
const keys = ['k0', 'k1', 'k2']

let folder: ReturnType<typeof temporaryDirectory>
let port: number
let broker: ChildProgram
let address: string
const started: ChildProgram[] = []

beforeEach(async () => {
  folder = temporaryDirectory('transaction-order')
  port = await freePort()
  await up()
})

afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.stop('SIGKILL')))
  await broker.stop('SIGKILL')
  folder.remove()
})

async function up(): Promise<void> {
  const set = { transactionTimeoutMs: 700, transactionCheckIntervalMs: 500 }
  broker = tandemUp({ dataDir: folder.path, port, set })
  address = await broker.ready()
}

function child(file: string, args: string[], readyLine: RegExp): ChildProgram {
  const program = new ChildProgram({ file, args, readyLine })
  started.push(program)
  return program
}

const member = (group: string, options: object) => {
  const own = { nameServers: address, group, startFrom: 'first', rebalanceIntervalMs: 500, ...options }
  return child('test/kit/consumer-process.mjs', [JSON.stringify({ options: own, topic: 'orders' })], /^ready$/m)
}
const sender = (key: string) => child('test/kit/ordered-transactions.mjs', [address, key, String(MESSAGES)], /^done$/m)

/** Bodies of `key` in the order in which its handlers began for the first time. */
function begunOf(key: string, members: ChildProgram[]): string[] {
  const lines = members.flatMap(({ out }) => out.split('\n')).filter((line) => line.startsWith(`begin ${key} `))
  const inTime = lines.toSorted((a, b) => Number(a.split('@')[1]) - Number(b.split('@')[1]))
  return [...new Set(inTime.map((line) => line.split(' ')[2] as string))]
}

test('ordinary messages and transactions of one orderBy reach ordered consumers in the order they were accepted, through two kills of the broker', async () => {
  const groups = {
    leases: { mode: 'lease', ordered: { by: 'key' }, invisibleMs: 2_000 },
    locks: { ordered: true, commitIntervalMs: 200 },
  }
  const members = Object.entries(groups).map(([group, options]) => [1, 2].map(() => member(group, options)))
  await Promise.all(members.flat().map((one) => one.ready()))
  const senders = keys.map(sender)
  for (const number of [15, 35]) {
    await until(() => senders.every(({ out }) => out.includes(`sent ${number}\n`)), SLOWLY)
    await broker.stop('SIGKILL')
    await up()
  }
  await Promise.all(senders.map((one) => one.ready(SLOWLY)))
  // The key whose producer is gone is settled by the others.
  await senders[0]?.stop('SIGKILL')
  const expected = Array.from({ length: MESSAGES }, (_, n) => `${n}`).filter((n) => Number(n) % 5 !== 0)
  for (const [index, group] of Object.keys(groups).entries()) {
    const own = members[index] as ChildProgram[]
    const state = () => keys.map((key) => begunOf(key, own).length).join()
    await until(
      () => keys.every((key) => begunOf(key, own).length >= expected.length),
      SLOWLY,
      () => `${group} ${state()}`,
    )
    for (const key of keys) expect([group, key, begunOf(key, own)]).toEqual([group, key, expected])
  }
  await using admin = new Admin({ nameServers: address })
  await admin.start()
  await until(async () => (await admin.transactions()).length === 0, SLOWLY)
  expect(await admin.heldGroups()).toEqual([])
}, 180_000)

test('a half message nobody settles holds its key back for operators to see, and goes on when one resolves it', async () => {
  const consumer = member('g', { ordered: true })
  await consumer.ready()
  const prepare = child('test/kit/held-back.mjs', [address], /^held$/m)
  await prepare.ready()
  await prepare.stop('SIGKILL')
  await broker.stop('SIGKILL')
  await up()
  await using admin = new Admin({ nameServers: address })
  await admin.start()
  const [held] = await admin.heldGroups()
  expect(held).toMatchObject({ topic: 'orders', orderBy: 'k', held: 2, waitsFor: { holdsBack: 2 } })
  await until(() => consumer.out.includes('begin other free'), SLOWLY)
  const at = String(held?.waitsFor?.physicalOffset)
  const run = (...args: string[]) => {
    const program = new ChildProgram({ file: 'packages/cli/bin/tandem.js', args: [...args, '--name-server', address] })
    return program.ended().then(() => program.out)
  }
  expect(await run('transactions', 'held')).toMatch(new RegExp(`orders +k +2 +\\d+ +\\d+ s +${at} +ordered`))
  expect(await run('transactions', 'show', at)).toContain('holds back  2 later messages of its orderBy')
  expect(consumer.out).not.toContain('begin k ')
  expect(await run('transactions', 'resolve', at, 'rollback', '--yes')).toContain('rolled back')
  await until(
    () => consumer.out.includes('end k m2'),
    SLOWLY,
    () => consumer.out,
  )
  expect(begunOf('k', [consumer])).toEqual(['m1', 'm2'])
}, 120_000)
