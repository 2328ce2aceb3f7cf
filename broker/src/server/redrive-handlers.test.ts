import { RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

test('dead letters of a group are sent back to it once, and the broker says which were', async () => {
  const world = await MemoryBroker.start()
  await world.heartbeat({ group: 'g' })
  for (let n = 0; n < 3; n++) {
    const sent = await world.send('orders', `m${n}`, { UNIQ_KEY: `id-${n}` })
    const [stored] = await world.messages({ consumerGroup: 'g', queueOffset: Number(sent.extFields['queueOffset']) })
    const place = { group: 'g', offset: String(stored?.physicalOffset), delayLevel: -1 }
    expect((await world.request(RequestCode.CONSUMER_SEND_MSG_BACK, place)).code).toBe(0)
  }
  const ask = async (code: number, body: unknown) => {
    const answer = await world.request(code, {}, JSON.stringify(body))
    return answer.code === 0 ? JSON.parse(answer.body.toString()) : answer.remark
  }
  const state = { group: 'g', from: 0, count: 100 }
  expect(await ask(TandemRequestCode.DEAD_LETTER_STATE, state)).toEqual({ minOffset: 0, maxOffset: 3, redriven: [] })
  expect(await ask(TandemRequestCode.REDRIVE_DEAD_LETTERS, { group: 'g', offsets: [0, 2, 9] })).toEqual({
    redriven: 2,
    already: 0,
    gone: 1,
  })
  await world.restart()
  expect(await ask(TandemRequestCode.REDRIVE_DEAD_LETTERS, { group: 'g', offsets: [0, 1] })).toEqual({
    redriven: 1,
    already: 1,
    gone: 0,
  })
  expect((await ask(TandemRequestCode.DEAD_LETTER_STATE, state)).redriven).toEqual([0, 1, 2])
  const back = await world.messages({ consumerGroup: 'g', topic: '%RETRY%g', queueOffset: 0 })
  expect(back.map(({ body, reconsumeTimes }) => `${body} ${reconsumeTimes}`)).toEqual(['m0 0', 'm2 0', 'm1 0'])
  expect(await ask(TandemRequestCode.REDRIVE_DEAD_LETTERS, { group: 'g', offsets: [-1] })).toContain(
    'offsets must be a list',
  )
  expect(await ask(TandemRequestCode.REDRIVE_DEAD_LETTERS, { group: 'no group!', offsets: [] })).toContain(
    'GROUP_NAME_INVALID',
  )
  await world.close()
})
