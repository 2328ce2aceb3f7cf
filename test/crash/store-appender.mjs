// Appends numbered messages to the store in argv[2] and prints the number of each one that was stored. Runs until killed.
import { writeSync } from 'node:fs'
import { systemClock } from '@tandemmq/remoting'
import { IndexEntry } from '../../broker/dist/index-entry.js'
import { MessageStore, systemDisk } from '../../broker/dist/store/index.js'

const [, , directory, flush] = process.argv
const nothing = Buffer.alloc(0)
const host = Buffer.from([127, 0, 0, 1, 0, 0, 0, 1])
const entry = new IndexEntry()
const topic = Buffer.from('orders')
const store = MessageStore.open({
  disk: systemDisk,
  clock: systemClock,
  directory,
  flush,
  segmentBytes: 1 << 20,
  describe() {},
})
let number = [0, 1, 2, 3].reduce((sum, queueId) => sum + store.queue('orders', queueId).maxOffset, 0)
let waiting = 0

function turn() {
  for (; waiting < 64; waiting++) {
    const mine = number++
    const body = Buffer.from(`${mine} `.padEnd(100 + ((mine * 7919) % 3000), '.'))
    const fields = { topic, queueId: 0, queueOffset: 0, physicalOffset: 0, flag: 0, sysFlag: 0, bornTimestamp: 1 }
    Object.assign(fields, { bornHost: host, storeTimestamp: 0, storeHost: host, reconsumeTimes: 0 })
    Object.assign(fields, { preparedTransactionOffset: 0, body, bodyStart: 0, bodyEnd: body.length })
    Object.assign(fields, { properties: nothing, propertiesStart: 0, propertiesEnd: 0 })
    const completion = {
      stored() {
        waiting--
        writeSync(1, `${mine}\n`)
      },
      failed(error) {
        throw error
      },
    }
    store.append(store.queue('orders', mine % 4), fields, entry, completion)
  }
  store.commitTurn()
  setImmediate(turn)
}
turn()
