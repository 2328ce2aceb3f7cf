// A service that is killed in the middle of its transactions: `node doomed.mjs DATABASE_URL ADDRESS`. Prints "busy" when halves
// are on their way.
import { setTimeout as elapse } from 'node:timers/promises'
import pg from 'pg'
import { Outbox } from '../../../packages/outbox/dist/index.js'
import { work } from './transactions.mjs'
import { ignore, TOPIC } from './world.mjs'

const LANES = 8
const [url, nameServers] = process.argv.slice(2)
const database = new pg.Pool({ connectionString: url, max: LANES })
database.on('error', ignore)
const outbox = new Outbox({ database, nameServers, group: 'orders' })
await outbox.start()
let begun = 0

async function lane() {
  for (;;) {
    await outbox.transaction(async (client, messages) => {
      messages.send({ topic: TOPIC, body: 'doomed' })
      await work(client)
      // Some halves stay undecided for a while, so that every kill finds some.
      await elapse(begun % 20)
    })
    if (++begun === LANES * 2) console.log('busy')
  }
}

await Promise.all(Array.from({ length: LANES }, lane))
