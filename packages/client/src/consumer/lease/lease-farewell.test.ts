import { RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../../test/kit/fake-broker.ts'
import { FakeLeases } from '../../../../../test/kit/fake-leases.ts'
import { startedConsumer } from '../../clients-test-kit.ts'
import { PushConsumer } from '../push-consumer.ts'

let w: World
let fake: FakeBroker
let leases: FakeLeases

beforeEach(() => renew())

async function renew(): Promise<void> {
  w = world()
  fake = new FakeBroker(w)
  leases = new FakeLeases(fake, 't')
  await w.clock.run(fake.start())
}

async function started(): Promise<PushConsumer> {
  const consumer = await startedConsumer(fake, () => undefined, { mode: 'lease' })
  // The first questions are not held.
  await w.clock.advance(1_000)
  return consumer
}

const questions = () => fake.asked(RequestCode.POP_MESSAGE).filter(({ extFields }) => extFields['topic'] === 't')

// Latency is 0.5 ms: the last answers, the farewell and the end of the connection are all within.
const MOMENTS = Array.from({ length: 60 }, (_, n) => n / 10)

test.each([
  ['ends a question that is withdrawn', true],
  ['holds it on, as a stock one', false],
])('a message that comes while a member closes is nobody’s, on a broker that %s', async (_name, endsRepeated) => {
  const lost: number[] = []
  for (const moment of MOMENTS) {
    await renew()
    leases.endsRepeated = endsRepeated
    const consumer = await started()
    const closing = consumer.close()
    w.clock.setTimer(moment, () => leases.put('late'))
    await w.clock.advance(2_000)
    await closing
    if (!leases.acked.includes('late') && !leases.visible().includes('late')) lost.push(moment)
  }
  expect(lost).toEqual([])
})

test('a closing member withdraws its question, and has not left before it is answered', async () => {
  const consumer = await started()
  const [asked] = questions().slice(-1)
  const closing = consumer.close()
  await w.clock.advance(10)
  await closing
  const [withdrawn] = questions().slice(-1)
  expect(withdrawn).not.toBe(asked)
  expect(withdrawn?.extFields).toMatchObject({ attemptId: asked?.extFields['attemptId'], pollTime: '0', bornTime: '0' })
})
