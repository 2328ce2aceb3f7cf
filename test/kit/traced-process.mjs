// A traced client in a process of its own, on the built SDK.
//   produce NAME_SERVERS TRACE   five orders o-0 … o-4, one delayed and cancelled, one transaction; prints `name id` for each, closes
//   consume NAME_SERVERS TRACE   member of group "billing"; o-3 comes back once; prints `key attempt`
import { Producer, PushConsumer, ReconsumeLater, TransactionProducer } from '@tandemmq/client'

const [mode, nameServers, topic] = process.argv.slice(2)
const trace = topic === 'default' ? true : topic

if (mode === 'produce') {
  const producer = new Producer({ nameServers, group: 'shop', trace })
  await producer.start()
  for (let n = 0; n < 5; n++) {
    const receipt = await producer.send({ topic: 'orders', tag: 'created', keys: [`o-${n}`], body: `order ${n}` })
    console.log(`o-${n} ${receipt.messageId}`)
  }
  const later = await producer.send({ topic: 'orders', keys: 'late', body: 'x', delayMs: 60_000 })
  await producer.cancel(later)
  console.log(`late ${later.messageId}`)
  await producer.close()
  const payments = new TransactionProducer({ nameServers, group: 'payments', trace, check: async () => 'commit' })
  await payments.start()
  const paid = await payments.sendInTransaction({ topic: 'orders', keys: 'p-1', body: 'paid' }, () => 'commit')
  console.log(`p-1 ${paid.messageId}`)
  await payments.close()
  console.log(`dropped ${producer.traces.dropped + payments.traces.dropped}`)
} else {
  const consumer = new PushConsumer({ nameServers, group: 'billing', startFrom: 'first', trace })
  consumer.subscribe('orders', '*', (message) => {
    console.log(`${message.keys[0]} ${message.attempt}`)
    if (message.keys[0] === 'o-3' && message.attempt === 1) throw new ReconsumeLater({ delayMs: 100 })
  })
  await consumer.start()
  process.once('SIGTERM', () => consumer.close())
  console.log('ready')
}
