// Reads every queue from its first to its last message once, also those of dead letters, and writes down what is stored.
import { PullConsumer } from '@tandemmq/client'
import { connection, hashOf, history, idOf } from './client-kit.mjs'
import { groups, topics } from './groups.mjs'

const consumer = new PullConsumer({ ...connection, group: 'audit' })
await consumer.start()

async function read(topic, deadFor) {
  const queues = await consumer.queues(topic).catch((error) => {
    if (error.code === 'ROUTE_NOT_FOUND') return []
    throw error
  })
  for (const queue of queues) {
    const { queueId } = queue
    let { minOffset, maxOffset, nextOffset } = await consumer.pull(queue, 0n)
    for (nextOffset = minOffset; nextOffset < maxOffset; ) {
      const result = await consumer.pull(queue, nextOffset, { batchMax: 256 })
      if (result.nextOffset <= nextOffset) throw new Error(`${topic}/${queueId} stops at ${nextOffset}`)
      for (const { body, queueOffset, storedAt, properties } of result.messages) {
        history.write('stored', {
          ...{ id: idOf(body), hash: hashOf(body), topic, queueId, offset: Number(queueOffset), deadFor },
          ...{ storedAt: storedAt.getTime(), dedupKey: properties.DEDUP_KEY, reason: properties.DLQ_REASON },
        })
      }
      nextOffset = result.nextOffset
    }
    const range = { minOffset: Number(minOffset), maxOffset: Number(maxOffset) }
    if (deadFor === undefined) history.write('read.all', { group: 'audit', topic, queueId, ...range })
  }
}

for (const topic of Object.values(topics)) await read(topic)
for (const { group } of groups) await read(`%DLQ%${group}`, group)
await consumer.close()
process.exit(0)
