// Reads every position of some topics once, in order, across any failure of the broker, and writes down what is there:
// `<id>#<n> <sent at> <entity> <version> <queue> <offset> <dedup key>`. Usage: node chaos-reader.mjs ADDRESS FILE TOPIC...
import { openSync, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { PullConsumer } from '@tandemmq/client'

const [nameServers, path, ...topics] = process.argv.slice(2)
const file = openSync(path, 'a')
const consumer = new PullConsumer({ nameServers, group: 'verifier', requestTimeoutMs: 2_000 })
await consumer.start()

async function follow(queue) {
  let offset = 0n
  for (;;) {
    try {
      const { messages, nextOffset } = await consumer.pull(queue, offset, { batchMax: 1_024, waitMs: 1_000 })
      let lines = ''
      for (const { body, queueId, queueOffset, properties } of messages)
        lines += `${body} ${queueId} ${queueOffset} ${properties.DEDUP_KEY}\n`
      if (lines !== '') writeSync(file, lines)
      offset = nextOffset
    } catch {
      await pause(100)
    }
  }
}

const queues = (await Promise.all(topics.map((topic) => consumer.queues(topic)))).flat()
console.log('ready')
process.on('SIGTERM', () => process.exit(0))
await Promise.all(queues.map(follow))
