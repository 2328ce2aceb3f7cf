import { type CommandInit, encodeCommand, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NonsenseWorld, sendOf } from '../../kit/nonsense-world.ts'

// Lines 85 to 87 of the catalogue (README.md beside this file).

const COMMIT = '8'
const ROLLBACK = '12'
/** The catalogue says a million: `NONSENSE_HALVES=1000000 npx vitest run test/system/nonsense/transaction.test.ts`, some 80 s. */
const HALVES = Number(process.env['NONSENSE_HALVES'] ?? 20_000)
let world: NonsenseWorld
let keys = 0

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

/** A half message of producer group `shop`. */
const half = (): CommandInit =>
  sendOf({ a: 'shop', f: '4', i: `UNIQ_KEY\x01tx${++keys}\x02TRAN_MSG\x01true\x02PGROUP\x01shop\x02` })

interface At {
  commitLogOffset: string
  tranStateTableOffset: string
}

async function stored(): Promise<At> {
  const client = await world.raw()
  const { code, extFields } = (await client.ask(half())) ?? {}
  expect(code).toBe(ResponseCode.SUCCESS)
  const { msgId = '', queueOffset = '' } = (extFields ?? {}) as Record<string, string>
  return { commitLogOffset: String(Number.parseInt(msgId.slice(-16), 16)), tranStateTableOffset: queueOffset }
}

async function end(at: At, commitOrRollback: string, over: Record<string, string> = {}): Promise<string | undefined> {
  const client = await world.raw()
  const extFields = { producerGroup: 'shop', msgId: 'no matter', ...at, commitOrRollback, ...over }
  const answer = await client.ask({ code: RequestCode.END_TRANSACTION, extFields })
  return answer?.code === ResponseCode.SUCCESS
    ? (answer.extFields as Record<string, string> | undefined)?.['outcome']
    : `refused ${answer?.code}`
}

const pending = (): number => world.stats().transactions.pending

test('C.3-85: an END for nothing, of strangers, repeated or contradicting itself decides nothing', async () => {
  const [one, two] = [await stored(), await stored()]
  const before = pending()
  const nothing = { commitLogOffset: '999999999', tranStateTableOffset: '0' }
  for (const at of [
    nothing,
    { ...one, tranStateTableOffset: two.tranStateTableOffset },
    { commitLogOffset: '-1', tranStateTableOffset: '-1' },
  ])
    expect(await end(at, COMMIT)).toMatch(/^refused/)
  expect(await end(one, COMMIT, { producerGroup: 'thieves' })).toMatch(/^refused/)
  expect(await end(one, '7')).toMatch(/^refused/)
  expect(pending()).toBe(before)
  expect(await end(one, COMMIT)).toBe('committed')
  expect(await end(one, COMMIT)).toBe('committed')
  expect(await end(one, ROLLBACK)).toBe('committed')
  // The offsets say which one, whatever message id stands beside them.
  expect(await end(two, ROLLBACK, { msgId: 'of another one' })).toBe('rolledBack')
  expect(await end(two, COMMIT)).toBe('rolledBack')
  expect(pending()).toBe(before - 2)
})

test('C.3-86: the answer to a check-back counts from any producer of the group, from nobody else', async () => {
  const at = await stored()
  const asked = { fromTransactionCheck: 'true' }
  expect(await end(at, COMMIT, { ...asked, producerGroup: 'thieves' })).toMatch(/^refused/)
  expect(await end(at, '0', asked)).toBe('pending')
  expect(await end(at, ROLLBACK, asked)).toBe('rolledBack')
  expect(await end(at, COMMIT, asked)).toBe('rolledBack')
})

test(
  'C.3-87: half messages that nobody ends are kept and cost little',
  async () => {
    const client = await world.raw()
    const before = pending()
    for (let sent = 0; sent < HALVES; sent += 100) {
      client.write(
        Buffer.concat(Array.from({ length: 100 }, (_, opaque) => encodeCommand({ ...half(), opaque, flag: 0 }))),
      )
      for (let answer = 0; answer < 100; answer++) expect((await client.answer())?.code).toBe(ResponseCode.SUCCESS)
    }
    expect(pending()).toBe(before + HALVES)
  },
  30_000 + HALVES / 2,
)
