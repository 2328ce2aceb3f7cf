import { type ConsumedMessage, PullConsumer } from '@tandemmq/client'

/** The first `count` messages of a topic; waits until there are so many. */
export async function readTopic(nameServers: string, topic: string, count: number): Promise<ConsumedMessage[]> {
  await using pull = new PullConsumer({ nameServers, group: 'reader' })
  await pull.start()
  const messages: ConsumedMessage[] = []
  for await (const message of pull.messages(topic, { from: 'first' })) {
    messages.push(message)
    if (messages.length === count) break
  }
  return messages
}
