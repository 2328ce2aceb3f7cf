import { PropertyName, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { Pops } from './lease-test-kit.ts'

type Fields = Record<string, string | number | boolean>

const MODES: [string, Fields][] = [
  ['not in order', {}],
  ['in order', { order: true }],
  ['in order of keys', { order: true, orderByKey: true }],
]
const LEASE_MS = 2_000

/** What somebody can do with a receipt, by name. @returns answers of the broker */
const ACTS: Record<string, (pops: Pops, receipt: string) => Promise<number>> = {
  'acknowledged alone': async (pops, receipt) => (await pops.ack(receipt)).code,
  'acknowledged in a batch': async (pops, receipt) => {
    const [so, pt, it, rq, r, , q, offset] = receipt.split(' ')
    const b = Buffer.of(1 << (Number(offset) - Number(so))).toString('base64')
    const batch = { c: 'billing', t: 'orders', r, b, so: Number(so), pt: Number(pt), it: Number(it), rq: Number(rq) }
    const body = { brokerName: 'tandemmq', acks: [{ ...batch, q: Number(q) }] }
    return (await pops.client.request(RequestCode.BATCH_ACK_MESSAGE, {}, { body })).code
  },
  extended: async (pops, receipt) => (await pops.hide(receipt, 60_000)).code,
  'given back': async (pops, receipt) => (await pops.hide(receipt, 0)).code,
  buried: async (pops, receipt) => (await pops.hide(receipt, 10_000, { deadLetter: 'no', attempt: 1 })).code,
}
const acts = Object.keys(ACTS)

async function started(): Promise<Pops> {
  const pops = await Pops.start()
  const properties = { [PropertyName.SHARDING_KEY]: 'k' }
  pops.rooms.append('orders', 0, { body: 'a', uniqueKey: 'id-a', properties })
  await pops.rooms.settle()
  return pops
}

test.each(MODES.flatMap(([mode, fields]) => acts.map((act) => [mode, act, fields] as const)))(
  'F22: %s: what another one holds is not %s with the receipt of a lease that is over',
  async (_, act, fields) => {
    const pops = await started()
    const popped = { ...fields, invisibleTime: LEASE_MS }
    const [first = ''] = (await pops.pop(popped)).receipts
    await pops.rooms.clock.advance(LEASE_MS + 1)
    const second = await pops.pop(popped)
    expect(second.bodies).toEqual(['a'])
    expect(await ACTS[act]!(pops, first)).toBe(ResponseCode.NO_MESSAGE)
    // It is held for as long as the second one was told, neither shorter nor longer, and comes again then.
    await pops.rooms.clock.advance(LEASE_MS - 100)
    expect((await pops.pop(popped)).bodies).toEqual([])
    await pops.rooms.clock.advance(200)
    expect((await pops.pop(popped)).bodies).toEqual(['a'])
    expect(pops.rooms.topics.find('%DLQ%billing')).toBeUndefined()
    await pops.rooms.close()
  },
)

test.each(acts)('F22: a message whose lease was extended is not %s with the receipt of before', async (act) => {
  const pops = await started()
  const [first = ''] = (await pops.pop({ invisibleTime: LEASE_MS })).receipts
  const { code } = await pops.hide(first, LEASE_MS)
  expect(code).toBe(ResponseCode.SUCCESS)
  expect(await ACTS[act]!(pops, first)).toBe(ResponseCode.NO_MESSAGE)
  await pops.rooms.clock.advance(LEASE_MS - 100)
  expect((await pops.pop()).bodies).toEqual([])
  await pops.rooms.clock.advance(200)
  expect((await pops.pop()).bodies).toEqual(['a'])
  await pops.rooms.close()
})
