import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (): Promise<MemoryBroker> => (open = await MemoryBroker.start())
const topic = (topicName: string, over: object = {}) => ({
  topicName,
  readQueueNums: 3,
  writeQueueNums: 2,
  perm: 6,
  ...over,
})

test('many topics and groups are created with one request each, or none of them', async () => {
  const world = await start()
  const topics = (...topicConfigList: object[]) => world.request(18, {}, JSON.stringify({ topicConfigList }))
  const groups = (...groupConfigList: object[]) => world.request(225, {}, JSON.stringify({ groupConfigList }))
  const known = async (code: number, extFields: Record<string, string>) => (await world.request(code, extFields)).code
  expect((await topics(topic('a'), topic('b c'))).code).toBe(29)
  expect((await topics(topic('a'), topic('SCHEDULE_TOPIC_XXXX'))).code).toBe(29)
  expect((await groups({ groupName: 'g' }, { groupName: '' })).code).toBe(29)
  expect([await known(351, { topic: 'a' }), await known(352, { group: 'g' })]).toEqual([17, 26])
  expect((await topics(topic('a'), topic('b', { attributes: { '+message.type': 'FIFO' }, order: true }))).code).toBe(0)
  expect((await groups({ groupName: 'g', retryMaxTimes: 3 }, { groupName: 'h' })).code).toBe(0)
  await world.restart()
  expect(JSON.parse((await world.request(351, { topic: 'b' })).body.toString())).toMatchObject({
    ...{ readQueueNums: 3, writeQueueNums: 2, order: true, attributes: { 'message.type': 'FIFO' } },
  })
  expect(JSON.parse((await world.request(352, { group: 'g' })).body.toString())).toMatchObject({ retryMaxTimes: 3 })
  expect(await known(352, { group: 'h' })).toBe(0)
})

test.each([
  ['nothing', {}],
  ['an empty list', { topicConfigList: [] }],
  ['something that is no list', { topicConfigList: 'a' }],
  ['an entry without a name', { topicConfigList: [{}] }],
  ['no queue', { topicConfigList: [topic('a', { writeQueueNums: 0 })] }],
  ['attributes that are none', { topicConfigList: [topic('a', { attributes: 'x' })] }],
])('a list of %s is refused with 29 or 1 and the reason', async (_what, body) => {
  const { code, remark = '' } = await (await start()).request(18, {}, JSON.stringify(body))
  expect([1, 29]).toContain(code)
  expect(remark.length).toBeGreaterThan(20)
})

test('an attribute of a topic in a list is removed as tools write it: the name after a minus, with an empty value', async () => {
  const world = await start()
  const put = (attributes: object) =>
    world.request(18, {}, JSON.stringify({ topicConfigList: [topic('a', { attributes })] }))
  const attributesOf = async () => JSON.parse((await world.request(351, { topic: 'a' })).body.toString()).attributes
  expect([(await put({ '+message.type': 'FIFO' })).code, await attributesOf()]).toEqual([0, { 'message.type': 'FIFO' }])
  expect([(await put({ '-message.type': '' })).code, await attributesOf()]).toEqual([0, {}])
})
