import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { parseRoute, type TopicRoute } from '../cluster/route.ts'
import { QueueSelector } from './queue-selector.ts'

function routeOf(brokers: Record<string, number>, orderTopicConf?: string): TopicRoute {
  const names = Object.keys(brokers)
  const body = {
    brokerDatas: names.map((brokerName) => ({ brokerName, cluster: 'C', brokerAddrs: { 0: `${brokerName}:1` } })),
    queueDatas: names.map((brokerName) => {
      return { brokerName, perm: 6, readQueueNums: brokers[brokerName], writeQueueNums: brokers[brokerName] }
    }),
    orderTopicConf,
  }
  return parseRoute('orders', Buffer.from(JSON.stringify(body)))
}
const chosen = (selector: QueueSelector, route: TopicRoute, count: number, avoid?: string): (string | undefined)[] =>
  Array.from({ length: count }, () => selector.select(route, undefined, avoid)?.brokerName)

test('queues of all brokers take turns', () => {
  const selector = new QueueSelector(new VirtualClock({ seed: 1 }))
  const picks = Array.from({ length: 6 }, () => selector.select(routeOf({ a: 2, b: 1 }), undefined))
  expect(new Set(picks.map((queue) => `${queue?.brokerName}${queue?.queueId}`))).toEqual(new Set(['a0', 'a1', 'b0']))
})

test('a broker that failed just now is left out for a second, then one message tries it while the others wait', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const selector = new QueueSelector(clock)
  const route = routeOf({ a: 4, b: 4 })
  selector.faults.failed('a')
  expect(new Set(chosen(selector, route, 16))).toEqual(new Set(['b']))
  await clock.advance(1_000)
  expect(chosen(selector, route, 16).filter((name) => name === 'a')).toHaveLength(1)
  selector.faults.succeeded('a')
  expect(chosen(selector, route, 16).filter((name) => name === 'a')).toHaveLength(8)
})

test('a broker that goes on failing is left out longer and longer, at most 30 s', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const { faults } = new QueueSelector(clock)
  for (const avoidMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    faults.failed('a')
    await clock.advance(avoidMs - 1)
    expect(faults.isAvoided('a')).toBe(true)
    await clock.advance(1)
    expect(faults.isAvoided('a')).toBe(false)
  }
})

test('sends that fail together are one fault', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const { faults } = new QueueSelector(clock)
  for (let n = 0; n < 3; n++) faults.failed('a')
  await clock.advance(1_000)
  expect(faults.isAvoided('a')).toBe(false)
})

test('when all brokers failed one is chosen all the same, another than this message came from if there is one', () => {
  const selector = new QueueSelector(new VirtualClock({ seed: 1 }))
  for (const name of ['a', 'b']) selector.faults.failed(name)
  expect(new Set(chosen(selector, routeOf({ a: 2, b: 2 }), 8, 'a'))).toEqual(new Set(['b']))
  expect(new Set(chosen(selector, routeOf({ a: 2 }), 4, 'a'))).toEqual(new Set(['a']))
})

test('an order keeps its queue whatever fails', () => {
  const selector = new QueueSelector(new VirtualClock({ seed: 1 }))
  const route = routeOf({ a: 4, b: 4 })
  const before = selector.select(route, 'customer-7')
  selector.faults.failed(before?.brokerName ?? '')
  expect(selector.select(route, 'customer-7', before?.brokerName)).toEqual(before)
})

test('an order configuration names the queues for writing, brokers that are away included', () => {
  const route = routeOf({ a: 4, b: 4 }, 'b:1;gone:2;a:1')
  expect(route.writeQueues.map(({ brokerName, queueId }) => `${brokerName}${queueId}`)).toEqual([
    ...['b0', 'gone0', 'gone1', 'a0'],
  ])
  expect(route.readQueues).toHaveLength(8)
  expect(routeOf({ a: 1 }, 'a:99999999;nonsense').writeQueues).toHaveLength(1)
})
