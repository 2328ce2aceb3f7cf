// A push consumer in a process of its own, on the built SDK. One argument, JSON: { options, topic, workMs?, dieOn? }.
//   ready                         it has joined its group
//   begin KEY BODY ATTEMPT @T     a handler began at T (monotonic ns, the same clock in every process of the machine); `dieOn` kills the process there, as a message that runs it out of memory would
//   end KEY BODY                  it returned
import { PushConsumer } from '@tandemmq/client'

const { options, topic, workMs = 0, dieOn } = JSON.parse(process.argv[2])
const consumer = new PushConsumer(options)
consumer.subscribe(topic, '*', async (message) => {
  const text = `${message.keys[0] ?? '-'} ${message.text()}`
  process.stdout.write(`begin ${text} ${message.attempt} @${process.hrtime.bigint()}\n`)
  if (message.text() === dieOn) process.kill(process.pid, 'SIGKILL')
  if (workMs > 0) await new Promise((resolve) => setTimeout(resolve, workMs))
  process.stdout.write(`end ${text}\n`)
})
await consumer.start()
process.stdout.write('ready\n')
process.once('SIGTERM', () => consumer.close().then(() => process.exit(0)))
