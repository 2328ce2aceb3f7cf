// A producer of the group "payments" in a process of its own, on the built SDK.
//   prepare NAME_SERVERS COUNT  stores half messages p-0, p-1, …, prints "prepared", and ends none of them
//   check NAME_SERVERS          never sends anything; commits even numbers when asked, rolls back odd ones, prints each
import { TransactionProducer } from '@tandemmq/client'

const [mode, nameServers, count] = process.argv.slice(2)
const decide = async ({ keys: [key = ''] }) => {
  if (mode === 'prepare') return 'unknown'
  const decision = Number(key.slice(2)) % 2 === 0 ? 'commit' : 'rollback'
  console.log(`${key} ${decision}`)
  return decision
}
const producer = new TransactionProducer({ nameServers, group: 'payments', check: decide })
await producer.start()
for (let n = 0; n < Number(count ?? 0); n++) {
  await producer.prepare({ topic: 'payments', keys: [`p-${n}`], body: `payment ${n}` })
}
console.log(mode === 'prepare' ? 'prepared' : 'ready')
