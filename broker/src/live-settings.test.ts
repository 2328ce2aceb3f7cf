import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../test/kit/memory-broker.ts'
import type { BrokerOptions } from './options.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (options: Partial<BrokerOptions> = {}): Promise<MemoryBroker> =>
  (open = await MemoryBroker.start(options))

async function settings(world: MemoryBroker): Promise<Record<string, string>> {
  const lines = (await world.request(26)).body.toString().trimEnd().split('\n')
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

const change = async (world: MemoryBroker, text: string): Promise<[number, string]> => {
  const { code, remark = '' } = await world.request(25, {}, text)
  return [code, remark]
}

test('a changed setting holds from the next request on, under both names, and after a restart', async () => {
  const world = await start()
  expect((await world.send('orders', 'x'.repeat(101))).code).toBe(0)
  expect(await change(world, '# from an operator\r\nmaxMessageSize = 100\r\n')).toEqual([0, ''])
  const refused = await world.send('orders', 'x'.repeat(101))
  expect([refused.code, refused.remark]).toEqual([13, expect.stringContaining('at most 100')])
  expect(await settings(world)).toMatchObject({ messageBytesMax: '100', maxMessageSize: '100' })
  await world.restart()
  expect((await world.send('orders', 'x'.repeat(101))).code).toBe(13)
  expect(await settings(world)).toMatchObject({ messageBytesMax: '100', maxMessageSize: '100' })
})

test('a changed setting gives way to an option that is given another value at a later start, for good', async () => {
  const world = await start()
  await change(world, 'messageBytesMax=100')
  await world.restart({ messageBytesMax: 200 })
  expect((await settings(world)).messageBytesMax).toBe('200')
  await world.restart()
  expect((await settings(world)).messageBytesMax).toBe(String(4 << 20))
})

test('auto-creation is switched off and on, and with it the route of its template', async () => {
  const world = await start()
  await change(world, 'autoCreateTopicEnable=false')
  expect([(await world.send('a')).code, (await world.request(105, { topic: 'TBW102' })).code]).toEqual([17, 17])
  await change(world, 'autoCreateTopicEnable=true\ndefaultTopicQueueNums=2')
  const template = await world.request(105, { topic: 'TBW102' })
  expect([(await world.send('a', 'x', {}, { defaultTopicQueueNums: 8 })).code, template.code]).toEqual([0, 0])
  expect(JSON.parse(template.body.toString()).queueDatas[0]).toMatchObject({ writeQueueNums: 2 })
  expect(JSON.parse((await world.request(105, { topic: 'a' })).body.toString()).queueDatas[0]).toMatchObject({
    ...{ readQueueNums: 2, writeQueueNums: 2 },
  })
})

test('SQL filters, the longest delay and the age of the first check-back change at run time', async () => {
  const world = await start()
  await world.send('orders')
  expect(await change(world, 'enablePropertyFilter=false\ntimerMaxDelaySec=10\ntransactionTimeOut=1000')).toEqual([
    0,
    '',
  ])
  const sql = await world.pull({ expressionType: 'SQL92', subscription: 'a = 1' })
  expect([sql.code, sql.remark]).toEqual([1, expect.stringContaining('enablePropertyFilter')])
  expect((await world.send('orders', 'x', { TIMER_DELAY_MS: '11000' })).code).toBe(13)
  expect((await world.send('orders', 'x', { TIMER_DELAY_MS: '9000' })).code).toBe(0)
  await world.send('orders', 'x', { TRAN_MSG: 'true', PGROUP: 'p' })
  const firstCheckIn = async () =>
    JSON.parse((await world.request(9102, {}, '{}')).body.toString()).transactions[0].nextCheckInMs
  expect(await firstCheckIn()).toBeLessThanOrEqual(1000)
  await world.restart()
  expect(await firstCheckIn()).toBeLessThanOrEqual(1000)
  expect(await settings(world)).toMatchObject({ delayMsMax: '10000', timerMaxDelaySec: '10' })
})

test.each([
  ['a setting nobody knows', 'colour=blue', 29, 'there is no setting colour; at run time: autoCreateTopic, '],
  ['one that is read at a start only', 'port=1', 16, 'port takes effect at a start only: restart with it'],
  ['a value of another kind', 'autoCreateTopicEnable=maybe', 29, 'autoCreateTopicEnable=maybe: '],
  ['a value out of range', 'maxMessageSize=0', 29, 'a whole number from 1 to'],
  ['nothing as a number', 'timerMaxDelaySec=', 29, 'must be a whole number'],
  ['more than a log file holds', 'maxMessageSize=8000000', 29, 'see segmentBytes'],
  ['nothing at all', '\n# only a remark\n', 29, '1 to 100 lines name=value, not 0'],
  ['__proto__', '__proto__=1', 29, 'there is no setting __proto__'],
])(
  '%s is refused with a code and a remark, and nothing of that request is changed',
  async (_what, line, code, remark) => {
    const world = await start({ segmentBytes: 4 * 1024 * 1024 + 256 * 1024 })
    const before = await settings(world)
    expect(await change(world, `defaultQueues=9\n${line}`.slice(line.startsWith('\n') ? 16 : 0))).toEqual([
      code,
      expect.stringContaining(remark),
    ])
    expect(await settings(world)).toEqual(before)
  },
)

test('the version of the settings counts changes', async () => {
  const world = await start()
  const version = async () => JSON.parse((await world.request(26)).extFields['version'] as string)
  expect(await version()).toEqual({ counter: 0, stateVersion: 0, timestamp: 0 })
  await change(world, 'defaultQueues=9')
  expect(await version()).toEqual({ counter: 1, stateVersion: 0, timestamp: expect.any(Number) })
})

test('a lower limit of retention empties the log without a restart', async () => {
  const world = await start({ segmentBytes: 1 << 20, messageBytesMax: 1 << 19 })
  for (let at = 0; at < 12; at++) await world.send('orders', 'x'.repeat(400_000))
  await world.clock.advance(61_000)
  expect((await world.request(31, { topic: 'orders', queueId: 0 })).extFields['offset']).toBe('0')
  await change(world, 'retentionBytes=1048576')
  await world.clock.advance(61_000)
  expect(Number((await world.request(31, { topic: 'orders', queueId: 0 })).extFields['offset'])).toBeGreaterThan(0)
})
