// A program with the broker inside. Sends numbered messages through a socket of its own, writes the offset and the body of each
// acknowledged one to standard output, and ends after 200 of them as argv[4] says.
// Usage: node embedding-host.mjs DIR TOPIC HOW
import { writeSync } from 'node:fs'
import { startBroker } from '@tandemmq/broker'
import { Producer } from '@tandemmq/client'

const [, , dataDir, topic, how] = process.argv
const broker = await startBroker({
  dataDir,
  port: 0,
  defaultQueues: 1,
  segmentBytes: 1 << 20,
  messageBytesMax: 256 << 10,
})
const producer = new Producer({ nameServers: broker.address, group: 'embedded' })
await producer.start()

const endings = {
  throw() {
    setImmediate(() => {
      throw new Error('a mistake of the host')
    })
  },
  reject() {
    void Promise.reject(new Error('a promise nobody looked at'))
  },
  exit: () => process.exit(3),
  memory() {
    const held = []
    for (;;) held.push(Array.from({ length: 1 << 16 }, (_, index) => ({ index })))
  },
}

let acknowledged = 0
async function lane(number) {
  for (let count = 0; ; count++) {
    const body = `${process.pid}-${number}-${count} `.padEnd(50 + ((count * 7919) % 4000), '.')
    const receipt = await producer.send({ topic, body })
    writeSync(1, `${receipt.queueId}/${receipt.queueOffset} ${body}\n`)
    if (++acknowledged === 200) endings[how]()
  }
}
await Promise.all(Array.from({ length: 8 }, (_, number) => lane(number)))
