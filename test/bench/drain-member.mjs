// A member of a group in a process of its own: node drain-member.mjs ADDRESS GROUP. Prints "ready", then `count rssMib` every 50 ms,
// and leaves on SIGTERM.
import { PushConsumer } from '../../packages/client/dist/index.js'

const [address, group] = process.argv.slice(2)
let seen = 0
const consumer = new PushConsumer({ nameServers: address, group, startFrom: 'first' })
consumer.subscribe('backlog', '*', () => void seen++)
const report = () => console.log(`${seen} ${Math.round(process.memoryUsage.rss() / 1_048_576)}`)
const timer = setInterval(report, 50)
process.once('SIGTERM', async () => {
  clearInterval(timer)
  await consumer.close()
  process.exit(0)
})
await consumer.start()
