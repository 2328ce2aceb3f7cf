// One consumer in a process of its own. Usage: node member.mjs OPTIONS, a JSON of PushConsumer's options and
// { topic, filter, workMs, replies }. Prints "got BODY" when a handler has ended and "cached N" when it grew; SIGTERM closes.
import { setTimeout as pause } from 'node:timers/promises'
import { Producer, PushConsumer } from '@tandemmq/client'

const { topic, filter = '*', workMs = 0, replies = false, ...options } = JSON.parse(process.argv[2])
const consumer = new PushConsumer({
  startFrom: 'first',
  rebalanceIntervalMs: 500,
  heartbeatIntervalMs: 1_000,
  ...options,
})
const replier = new Producer({ nameServers: options.nameServers, group: 'repliers' })
let cachedMax = 0
consumer.subscribe(topic, filter, async (message) => {
  const { cachedMessages } = consumer.stats()
  if (cachedMessages > cachedMax) console.log(`cached ${(cachedMax = cachedMessages)}`)
  if (replies) await replier.reply(message, { by: options.clientId, to: message.json().n })
  if (workMs > 0) await pause(workMs)
  console.log(`got ${message.text()}`)
})
if (replies) await replier.start()
await consumer.start()
console.log('ready')
process.on('SIGTERM', async () => {
  await consumer.close()
  await replier.close()
  process.exit(0)
})
