import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedProducer } from '../clients-test-kit.ts'
import type { ProducerOptions } from './producer-options.ts'
import { Producer } from './producer.ts'

const SEND = RequestCode.SEND_MESSAGE_V2
const busy = (retryAfterMs: number) => ({ code: 2, remark: '[SYSTEM_BUSY] later', extFields: { retryAfterMs } })
const MIB = 1_048_576

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  await w.clock.run(fake.start())
})

async function started(options: Partial<ProducerOptions> = {}): Promise<Producer> {
  const producer = await startedProducer(fake, { sendTimeoutMs: 20_000, ...options })
  await w.clock.run(producer.send({ topic: 't', body: 'first' }))
  return producer
}

const bodies = (): string[] => fake.asked(SEND).map(({ body }) => body.toString())
const refusal = (send: () => void): unknown => {
  try {
    send()
    return undefined
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

/** From now on the producer knows that its broker wants a pause. */
async function closedGate(producer: Producer, retryAfterMs: number): Promise<void> {
  fake.on(SEND, () => busy(retryAfterMs))
  producer.send({ topic: 't', body: 'refused', orderBy: 'k' }).catch(() => undefined)
  await w.clock.advance(50)
  fake.on(SEND, (request) => fake.stored(request))
}

test('one-way sends wait while their broker asked for a pause, in one line with the sends that want an answer', async () => {
  const producer = await started()
  await closedGate(producer, 1_000)
  producer.sendOneway({ topic: 't', body: '1', orderBy: 'k' })
  const second = producer.send({ topic: 't', body: '2', orderBy: 'k' })
  producer.sendOneway({ topic: 't', body: '3', orderBy: 'k' })
  await w.clock.advance(900)
  expect(bodies()).toEqual(['first', 'refused'])
  await w.clock.run(second)
  await w.clock.advance(10)
  expect(bodies().slice(2)).toEqual(['refused', '1', '2', '3'])
  // And then they leave at once again.
  producer.sendOneway({ topic: 't', body: '4' })
  await w.clock.advance(10)
  expect(bodies().at(-1)).toBe('4')
  await w.clock.run(producer.close())
})

test.each([
  ['1,000 messages', 'x', 1_000],
  ['8 MiB', 'x'.repeat(MIB), 8],
])('at most %s wait, one more is refused with a code, and all that waited arrive', async (_, body, most) => {
  const producer = await started({ bodyBytesMax: 2 * MIB })
  await closedGate(producer, 1_000)
  const send = (): void => producer.sendOneway({ topic: 't', body })
  for (let n = 0; n < most; n++) expect(refusal(send)).toBeUndefined()
  expect([refusal(send), refusal(send)]).toEqual(['SYSTEM_BUSY', 'SYSTEM_BUSY'])
  await w.clock.advance(10_000)
  expect(bodies().filter((one) => one === body)).toHaveLength(most)
  expect(refusal(send)).toBeUndefined()
  await w.clock.advance(100)
  expect(bodies().filter((one) => one === body)).toHaveLength(most + 1)
  await w.clock.run(producer.close())
})

test('close() waits for one-way sends that stand in line', async () => {
  // The send that was refused does not wait with it.
  const producer = await started({ drainTimeoutMs: 5_000, retriesMax: 0 })
  await closedGate(producer, 1_000)
  producer.sendOneway({ topic: 't', body: 'late' })
  await w.clock.run(producer.close())
  expect(bodies()).toContain('late')
})

test('what waits for a route is bounded as well', async () => {
  const producer = new Producer({ ...w, nameServers: fake.address, group: 'p' })
  fake.on(RequestCode.GET_ROUTEINFO_BY_TOPIC, () => undefined)
  await w.clock.run(producer.start())
  const send = (): void => producer.sendOneway({ topic: 't', body: 'x' })
  for (let n = 0; n < 1_000; n++) send()
  expect(refusal(send)).toBe('SYSTEM_BUSY')
  // Nobody answers: they are given up, and there is room again.
  await w.clock.advance(30_000)
  expect(refusal(send)).toBeUndefined()
  await w.clock.run(producer.close())
})

test('a broker that takes nothing off the wire is busy, and does not lose what it was sent before', async () => {
  const producer = await started({ bodyBytesMax: 2 * MIB })
  w.network.cut(fake.address)
  const body = 'x'.repeat(MIB)
  let sent = 0
  const send = (): void => producer.sendOneway({ topic: 't', body })
  for (; sent < 100 && refusal(send) === undefined; sent++) await w.clock.advance(1)
  expect(sent).toBeGreaterThan(16)
  expect(sent).toBeLessThan(40)
  w.network.heal(fake.address)
  await w.clock.advance(10_000)
  expect(bodies().filter((one) => one === body)).toHaveLength(sent)
  await w.clock.run(producer.close())
})
