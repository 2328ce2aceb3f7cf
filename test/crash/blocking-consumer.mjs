// A member of a lease group whose handler keeps the whole process busy. Usage: node blocking-consumer.mjs ADDRESS GROUP NAME MS
// Prints "begin ID" and "end ID" of each message it handles, "lost ID" when it is told that a message is not its own any more.
import { writeSync } from 'node:fs'
import { PushConsumer } from '@tandemmq/client'

const [nameServers, group, clientId, ms] = process.argv.slice(2)
const say = (line) => writeSync(1, `${line}\n`)
const consumer = new PushConsumer({
  ...{ nameServers, group, clientId, mode: 'lease', invisibleMs: 1_000, startFrom: 'first', concurrencyMax: 1 },
  ...{ totalMessagesMax: 1, holdMs: 1_000, heartbeatIntervalMs: 1_000 },
})
consumer.subscribe('blocked', '*', (message, { signal }) => {
  const id = message.text()
  signal.addEventListener('abort', () => say(`lost ${id}`))
  say(`begin ${id}`)
  const until = performance.now() + Number(ms)
  while (performance.now() < until);
  say(`end ${id}`)
})
await consumer.start()
say('ready')
process.on('SIGTERM', () => consumer.close().then(() => process.exit(0)))
