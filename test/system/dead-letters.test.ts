import { Producer, PullConsumer, PushConsumer, type PushConsumerOptions, RejectMessage } from '@tandemmq/client'
import { expect, test } from 'vitest'
import { UpProgram } from '../kit/program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

const modes: Record<string, Partial<PushConsumerOptions>> = {
  clustering: { mode: 'clustering' },
  ordered: { mode: 'clustering', ordered: true },
  lease: { mode: 'lease' },
}

/** Topic and body of each dead letter, as its record says. */
async function deadLetters(nameServers: string, count: number): Promise<string[]> {
  await using pull = new PullConsumer({ nameServers, group: 'reader' })
  await pull.start()
  // The topic begins with the first dead letter.
  await expect.poll(() => pull.queues('%DLQ%g').catch(() => []), { timeout: 5_000 }).not.toEqual([])
  const found: string[] = []
  for await (const message of pull.messages('%DLQ%g', { from: 'first', signal: AbortSignal.timeout(5_000) })) {
    found.push(`${message.storedTopic} ${message.text()}`)
    if (found.length === count) break
  }
  return found.toSorted()
}

test.each(Object.keys(modes))(
  'dead letters of a %s consumer are where they were after a kill of the broker',
  async (mode) => {
    using folder = temporaryDirectory('dead-letters')
    let broker = await UpProgram.start(folder.path)
    try {
      const nameServers = broker.address
      await using producer = new Producer({ nameServers, group: 'p' })
      await producer.start()
      const bodies = ['0', '1', '2', '3', '4']
      await producer.sendAll(bodies.map((body) => ({ topic: 'orders', body })))
      await using consumer = new PushConsumer({ nameServers, group: 'g', startFrom: 'first', ...modes[mode] })
      consumer.subscribe('orders', '*', () => {
        throw new RejectMessage('no')
      })
      await consumer.start()
      const told = bodies.map((body) => `%DLQ%g ${body}`)
      expect(await deadLetters(nameServers, bodies.length)).toEqual(told)
      await consumer.close()
      const { port } = broker
      await broker.stop('SIGKILL')
      broker = await UpProgram.start(folder.path, '--port', `${port}`)
      expect(await deadLetters(nameServers, bodies.length)).toEqual(told)
    } finally {
      await broker.stop('SIGKILL')
    }
  },
)
