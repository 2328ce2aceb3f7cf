// Sends numbered messages of one orderBy, ordinary ones and half messages by turns, each until a broker that comes and goes has it; prints
// `sent N` in the order of their places and at last `done`. Ends come later, in any order, or never: then the broker asks, here or at
// another process of the group. Numbers that 5 divides are half messages that are rolled back.
// Usage: node ordered-transactions.mjs NAME_SERVERS KEY COUNT
import { setTimeout as pause } from 'node:timers/promises'
import { Producer, TransactionProducer } from '@tandemmq/client'

const [nameServers, key, count] = process.argv.slice(2)
const decisionOf = (n) => (n % 5 === 0 ? 'rollback' : 'commit')
const check = async (message) => decisionOf(Number(message.text()))
const patience = { nameServers, sendTimeoutMs: 20_000, retriesMax: 30, requestTimeoutMs: 2_000 }
const halves = new TransactionProducer({ ...patience, group: 'ordered', check })
const producer = new Producer({ ...patience, group: 'plain' })
await Promise.all([halves.start(), producer.start()])
const until = async (attempt) => {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (error.code !== 'SEND_TIMEOUT' && !/TIMEOUT|CONNECT|CLOSED|ROUTE|BUSY/.test(error.code)) throw error
      await pause(100)
    }
  }
}
const ends = []
for (let n = 0; n < Number(count); n++) {
  const message = { topic: 'orders', orderBy: key, keys: [key], body: `${n}` }
  if (n % 5 === 0 || n % 3 === 0) {
    const messageId = `${key}-${n}`
    const prepared = await until(() => halves.prepare({ ...message, messageId }))
    // One in four is left to the check-back.
    if (n % 4 !== 0)
      ends.push(pause(Math.random() * 400).then(() => halves.end(prepared, decisionOf(n)).catch(() => {})))
  } else await until(() => producer.send({ ...message, dedupKey: `${key}-${n}` }))
  process.stdout.write(`sent ${n}\n`)
  await pause(Math.random() * 20)
}
await Promise.all(ends)
process.stdout.write('done\n')
process.once('SIGTERM', async () => {
  await Promise.all([halves.close(), producer.close()])
  process.exit(0)
})
