import { PropertyName } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { groupConfigOf } from '../group-config.ts'
import { Pops } from './lease-test-kit.ts'

const DEAD = '%DLQ%billing'

async function started(policy?: unknown): Promise<Pops> {
  const pops = await Pops.start()
  pops.rooms.groups.configure(groupConfigOf({ groupName: 'billing', groupRetryPolicy: policy }))
  return pops
}

test('a lease given back by policy hides the message for as long as the policy of the group says', async () => {
  const next = [0, 0, 700, 3_000]
  const pops = await started({ type: 'CUSTOMIZED', customizedRetryPolicy: { next } })
  await pops.send(['m1'])
  for (const [done, gap] of [700, 3_000, 3_000].entries()) {
    const popped = await pops.pop()
    expect(popped.messages[0]?.reconsumeTimes).toBe(done)
    const { extFields } = await pops.hide(popped.receipts[0]!, 60_000, { byPolicy: true })
    expect(extFields['invisibleTime']).toBe(String(gap))
    await pops.rooms.clock.advance(gap - 1)
    expect((await pops.pop()).bodies).toEqual([])
    await pops.rooms.clock.advance(1)
    await pops.rooms.settle()
  }
  expect((await pops.pop()).bodies).toEqual(['m1'])
})

test('without a policy of the group the time the client names holds', async () => {
  const pops = await started()
  await pops.send(['m1'])
  const { extFields } = await pops.hide((await pops.pop()).receipts[0]!, 60_000, { byPolicy: true })
  expect(extFields['invisibleTime']).toBe('60000')
})

test('a lease that ends in a dead letter is settled by the same act, once, with its reason and attempts', async () => {
  const pops = await started()
  await pops.send(['m1', 'm2'])
  const [first, second] = (await pops.pop()).receipts
  const end = { deadLetter: 'no amount', attempt: 5 }
  const answers = [await pops.hide(first!, 10_000, end), await pops.hide(first!, 10_000, end)]
  expect(answers.map(({ code, extFields }) => [code, extFields['buried']])).toEqual([
    [0, 'true'],
    [0, 'true'],
  ])
  const [dead, ...others] = pops.messagesOf(DEAD)
  expect(others).toEqual([])
  expect(dead).toMatchObject({ reconsumeTimes: 5 })
  expect(dead?.properties).toMatchObject({
    [PropertyName.DLQ_REASON]: 'no amount',
    [PropertyName.DLQ_ORIGIN_TOPIC]: 'orders',
    [PropertyName.DLQ_ORIGIN_QUEUE_ID]: '0',
    [PropertyName.DLQ_ORIGIN_QUEUE_OFFSET]: '0',
  })
  expect(pops.committed()).toBe(1)
  await pops.ack(second!)
  expect(pops.committed()).toBe(2)
  await pops.rooms.clock.advance(20_000)
  expect((await pops.pop()).bodies).toEqual([])
})

test('an old receipt buries nothing', async () => {
  const pops = await started()
  await pops.send(['m1'])
  const [old] = (await pops.pop()).receipts
  await pops.hide(old!, 20_000)
  expect((await pops.hide(old!, 10_000, { deadLetter: 'late' })).code).not.toBe(0)
  expect(pops.bodiesOf(DEAD)).toEqual([])
})

test('in order the batch goes on without the message that was buried', async () => {
  const pops = await started()
  await pops.send(['m1', 'm2', 'm3'])
  const order = { order: true, maxMsgNums: 2 }
  const [first, second] = (await pops.pop(order)).receipts
  expect((await pops.hide(first!, 10_000, { deadLetter: 'bad', attempt: 3 })).extFields['buried']).toBe('true')
  expect(pops.messagesOf(DEAD)[0]).toMatchObject({ reconsumeTimes: 3 })
  expect((await pops.pop(order)).bodies).toEqual([])
  await pops.ack(second!)
  expect((await pops.pop(order)).bodies).toEqual(['m3'])
})
