import type { FakeBroker } from '../../../test/kit/fake-broker.ts'
import type { PushConsumerOptions } from './consumer/push-consumer-options.ts'
import { PushConsumer } from './consumer/push-consumer.ts'
import type { MessageHandler } from './consumer/subscription.ts'
import type { ProducerOptions } from './producer/producer-options.ts'
import { Producer } from './producer/producer.ts'

/** A producer of the group `p`, started. */
export async function startedProducer(fake: FakeBroker, options: Partial<ProducerOptions> = {}): Promise<Producer> {
  const producer = new Producer({ ...fake.where, nameServers: fake.address, group: 'p', ...options })
  await fake.where.clock.run(producer.start())
  return producer
}

/** A member of the group `g` that consumes `t`, started. */
export async function startedConsumer(
  fake: FakeBroker,
  handler: MessageHandler,
  options: Partial<PushConsumerOptions> = {},
): Promise<PushConsumer> {
  const where = { ...fake.where, nameServers: fake.address, group: 'g' }
  const consumer = new PushConsumer({ ...where, startFrom: 'first', ...options })
  consumer.subscribe('t', '*', handler)
  await fake.where.clock.run(consumer.start())
  return consumer
}
