// A consumer in a process of its own. Usage: node group-member.mjs DIRECTORY NAME '{"nameServers":…,"group":…,…}'
// Options of PushConsumer, and: `subscriptions` topic to filter, `handlerMs` how long a message takes, `offsetsIn` a folder for
// the positions of a broadcasting member. Writes `begin` and `end` of each handler to DIRECTORY/NAME.jsonl, and what it logs
// to standard error. SIGTERM ends it in order.
import { setTimeout as pause } from 'node:timers/promises'
import { fileOffsetStore, PushConsumer } from '@tandemmq/client'
import { HistoryWriter } from '../kit/history-writer.mjs'

const [directory, name, json] = process.argv.slice(2)
const { subscriptions, handlerMs = 0, offsetsIn, ...options } = JSON.parse(json)
const history = new HistoryWriter(directory, name)
const say = (level) => (text) => console.error(`${level} ${text}`)
const logger = { debug: () => {}, info: () => {}, warn: say('warn'), error: say('error') }

const consumer = new PushConsumer({
  ...options,
  logger,
  ...(offsetsIn === undefined ? {} : { broadcastOffsets: fileOffsetStore(offsetsIn) }),
})
for (const [topic, filter] of Object.entries(subscriptions)) {
  consumer.subscribe(topic, filter, async (message) => {
    const fields = {
      id: message.text(),
      topic: message.topic,
      queueId: message.queueId,
      offset: Number(message.queueOffset),
      attempt: message.attempt,
    }
    history.write('begin', fields)
    if (handlerMs > 0) await pause(handlerMs)
    history.write('end', fields)
  })
}
process.on('SIGTERM', async () => {
  await consumer.close()
  process.exit(0)
})
await consumer.start()
console.log('ready')
