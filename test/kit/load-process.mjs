// Load on a broker from a process of its own. Prints `ready`, and at its end one line of JSON with what came of it.
// Usage: node load-process.mjs produce ADDRESS TOPIC BYTES COUNT IN_FLIGHT
//        node load-process.mjs consume ADDRESS TOPIC GROUP COUNT
//        node load-process.mjs crowd ADDRESS CLIENTS      (until SIGTERM)
import { Producer, PushConsumer } from '@tandemmq/client'

const [mode, nameServers, ...rest] = process.argv.slice(2)

async function produce(topic, bytes, count, inFlight) {
  const producer = new Producer({ nameServers, group: 'load', sendTimeoutMs: 120_000 })
  await producer.start()
  console.log('ready')
  const outcome = { stored: 0, failed: {} }
  let next = 0
  const worker = async () => {
    while (next < count) {
      const body = Buffer.alloc(Number(bytes), String(next++ % 10))
      try {
        await producer.send({ topic, body })
        outcome.stored++
      } catch (error) {
        outcome.failed[error.code] = (outcome.failed[error.code] ?? 0) + 1
      }
    }
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, worker))
  await producer.close()
  console.log(JSON.stringify(outcome))
}

async function consume(topic, group, count) {
  const seen = new Set()
  const consumer = new PushConsumer({ nameServers, group, startFrom: 'first' })
  const all = new Promise((resolve) => {
    consumer.subscribe(topic, '*', (message) => {
      seen.add(`${message.queueId}/${message.queueOffset}`)
      if (seen.size >= Number(count)) resolve()
    })
  })
  await consumer.start()
  console.log('ready')
  await all
  await consumer.close()
  console.log(JSON.stringify({ seen: seen.size }))
}

async function crowd(clients) {
  const members = Array.from(
    { length: Number(clients) },
    (_, n) => new Producer({ nameServers, group: 'crowd', clientId: `${process.pid}-${n}` }),
  )
  for (const member of members) await member.start()
  console.log('ready')
  await new Promise((resolve) => process.once('SIGTERM', resolve))
  await Promise.all(members.map((member) => member.close()))
}

const modes = { produce, consume, crowd }
await modes[mode](...rest)
process.exit(0)
