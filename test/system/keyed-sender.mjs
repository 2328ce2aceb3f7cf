// Sends messages that carry a key of the application or a priority, each until a broker that comes and goes has it, and prints one line
// of JSON for each answer, then "done". Several of these send the same keys at the same time.
// Usage: node keyed-sender.mjs ADDRESS TOPIC NAME FROM COUNT dedup|PRIORITY
import { Producer } from '@tandemmq/client'

const [nameServers, topic, name, from, count, how] = process.argv.slice(2)
const producer = new Producer({
  ...{ nameServers, group: 'keyed', sendTimeoutMs: 20_000, retriesMax: 30, requestTimeoutMs: 2_000 },
})
await producer.start()
const waiting = new Set()
for (let n = Number(from); n < Number(from) + Number(count); n++) {
  const body = `${name} ${n} ${how === 'dedup' ? 'x'.repeat(4_000) : ''}`
  const message =
    how === 'dedup' ? { topic, body, dedupKey: `key-${n}` } : { topic, body: body.trim(), priority: Number(how) }
  const sent = send(message, n).finally(() => waiting.delete(sent))
  waiting.add(sent)
  // Order within a priority is that of the sends.
  while (waiting.size >= (how === 'dedup' ? 16 : 1)) await Promise.race(waiting)
}
await Promise.all(waiting)
await producer.close()
process.stdout.write('done\n')

async function send(message, n) {
  for (;;) {
    try {
      const { queueId, queueOffset, duplicate } = await producer.send(message)
      process.stdout.write(`${JSON.stringify({ n, place: `${queueId}/${queueOffset}`, duplicate })}\n`)
      return
    } catch (error) {
      if (error.code !== 'SEND_TIMEOUT' && !/TIMEOUT|CONNECT|CLOSED|ROUTE|BUSY/.test(error.code)) throw error
    }
  }
}
