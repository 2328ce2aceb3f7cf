import { PullConsumer } from '@tandemmq/client'
import type { World } from './world.ts'

export interface DeadLetter {
  order: string
  reason: string
}

/** Reads the dead letter topic of a consumer group to its end. */
export async function readDeadLetters(world: World, group: string): Promise<DeadLetter[]> {
  const topic = `%DLQ%${group}`
  if (!(await world.admin.topics()).includes(topic)) return []
  const queues = await world.admin.queueOffsets(topic)
  let left = queues.reduce((sum, { minOffset, maxOffset }) => sum + Number(maxOffset - minOffset), 0)
  const letters: DeadLetter[] = []
  await using consumer = new PullConsumer({ nameServers: world.nameServer, group: 'demo-reader' })
  await consumer.start()
  if (left === 0) return letters
  for await (const message of consumer.messages(topic, { signal: AbortSignal.timeout(10_000) })) {
    // A broker that serves longer than this demo may keep letters of an earlier run.
    if (message.storedAt >= world.startedAt) {
      letters.push({ order: message.keys[0] ?? '', reason: message.properties['DLQ_REASON'] ?? '' })
    }
    if (--left === 0) break
  }
  return letters
}
