// A push consumer in a process of its own, on the built SDK. One argument, JSON: { options, topic, workMs?, dieOn?, dieBy? }.
//   ready                         it has joined its group
//   begin KEY BODY ATTEMPT @T     a handler began at T (monotonic ns, the same clock in every process of the machine); `dieOn` ends the process there: killed, or with
//                                 `dieBy: 'memory'` out of memory
//   end KEY BODY                  it returned
import { PushConsumer } from '@tandemmq/client'

const { options, topic, workMs = 0, dieOn, dieBy } = JSON.parse(process.argv[2])
const consumer = new PushConsumer(options)
consumer.subscribe(topic, '*', async (message) => {
  const text = `${message.keys[0] ?? '-'} ${message.text()}`
  process.stdout.write(`begin ${text} ${message.attempt} @${process.hrtime.bigint()}\n`)
  if (message.text() === dieOn) {
    const hoard = []
    if (dieBy === 'memory') for (;;) hoard.push(Array.from({ length: 100_000 }, () => ({})))
    process.kill(process.pid, 'SIGKILL')
  }
  if (workMs > 0) await new Promise((resolve) => setTimeout(resolve, workMs))
  process.stdout.write(`end ${text}\n`)
})
await consumer.start()
process.stdout.write('ready\n')
process.once('SIGTERM', () => consumer.close().then(() => process.exit(0)))
