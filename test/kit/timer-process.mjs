// A client of the topic "reminders" in a process of its own, on the built SDK.
//   send NAME_SERVERS FIRST COUNT DELAY_MS  parks messages with the keys r-FIRST…, `due` in their properties, and ends
//   consume NAME_SERVERS                    joins the group "readers", prints `KEY DUE STORED_AT` of each
import { Producer, PushConsumer } from '@tandemmq/client'

const [mode, nameServers, first, count, delayMs] = process.argv.slice(2)
if (mode === 'send') {
  const producer = new Producer({ nameServers, group: `reminders-${first}`, sendTimeoutMs: 10_000 })
  await producer.start()
  const sends = Array.from({ length: Number(count) }, (_, n) => {
    const deliverAt = new Date(Date.now() + Number(delayMs) + n * 10)
    const key = `r-${Number(first) + n}`
    return producer.send({ topic: 'reminders', keys: key, body: key, deliverAt, properties: { due: `${+deliverAt}` } })
  })
  await Promise.all(sends)
  await producer.close()
  console.log('sent')
} else {
  const consumer = new PushConsumer({ nameServers, group: 'readers', startFrom: 'first' })
  consumer.subscribe('reminders', '*', ({ keys, properties, storedAt }) => {
    console.log(`${keys[0]} ${properties.due} ${+storedAt}`)
  })
  await consumer.start()
  console.log('ready')
}
