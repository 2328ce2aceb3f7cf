// Leaves a half message of orderBy k undecided with two ordinary ones behind it, sends one of another key, prints "held".
// Usage: node held-back.mjs NAME_SERVERS
import { Producer, TransactionProducer } from '@tandemmq/client'

const [nameServers] = process.argv.slice(2)
const halves = new TransactionProducer({ nameServers, group: 'ordered', check: async () => 'unknown' })
const producer = new Producer({ nameServers, group: 'plain' })
await Promise.all([halves.start(), producer.start()])
await halves.prepare({ topic: 'orders', orderBy: 'k', keys: ['k'], body: 'half' })
for (const body of ['m1', 'm2']) await producer.send({ topic: 'orders', orderBy: 'k', keys: ['k'], body })
await producer.send({ topic: 'orders', orderBy: 'other', keys: ['other'], body: 'free' })
console.log('held')
