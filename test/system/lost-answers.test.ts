import { startFaultProxy } from '@tandemmq/testing'
import { expect, test } from 'vitest'
import { freePort } from '../kit/free-port.ts'
import { GroupWorld } from '../kit/group-world.ts'
import { until } from '../kit/waiting.ts'

const POP_MESSAGE = 200_050
const leasing = { group: 'billing', mode: 'lease', startFrom: 'first', subscriptions: { orders: '*' } } as const

test('messages in an answer that was lost come at once when their consumer asks again, long before their leases end', async () => {
  const port = await freePort()
  await using proxy = await startFaultProxy(`127.0.0.1:${port}`)
  await using world = await GroupWorld.start({ advertise: proxy.address }, port)
  await world.admin.createTopic('orders', { queues: 2 })
  const patient = { ...leasing, invisibleMs: 600_000, holdMs: 5_000 }
  await world.member('first', patient)
  await world.member('second', patient)
  for (let round = 1; round <= 3; round++) {
    const lost = proxy.dropReply(1, POP_MESSAGE)
    await world.send('orders', 10, `${round}-`)
    await lost
    proxy.reset()
    await until(() => world.distinct === round * 10, 60_000)
  }
  expect(world.handled()).toHaveLength(30)
  expect(new Set(world.handled().map(({ attempt }) => attempt))).toEqual(new Set([1]))
}, 240_000)

test('of what a dying consumer held only the message it died of becomes a dead letter', async () => {
  await using world = await GroupWorld.start()
  await world.admin.createTopic('orders', { queues: 1 })
  await world.admin.createGroup('billing', { ordered: true })
  await world.send('orders', 5)
  const dying = { ...leasing, ordered: true, attemptsMax: 1, invisibleMs: 2_000 }
  for (let life = 1; life <= 2; life++) {
    const member = await world.member(`life-${life}`, { ...dying, handlerMs: 60_000 })
    await until(() => world.handled('begin').length === life, 30_000)
    await member.stop('SIGKILL')
  }
  // Of the first delivery nobody knows whether it reached a handler, so there was a second one.
  expect(world.handled('begin').map(({ id }) => id)).toEqual(['0', '0'])
  await world.member('last', dying)
  await until(() => world.distinct === 4, 30_000)
  expect(world.handled().map(({ id }) => id)).toEqual(['1', '2', '3', '4'])
  const dead = []
  for await (const { message } of world.admin.deadLetters('billing')) dead.push(message.text())
  expect(dead).toEqual(['0'])
}, 180_000)
