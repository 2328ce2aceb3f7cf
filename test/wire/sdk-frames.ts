import { startBroker } from '@tandemmq/broker'
import { MemoryDisk, MemoryNetwork, VirtualClock } from '@tandemmq/broker/simulation'
import { Admin, Producer, PullConsumer, PushConsumer, sleep, TransactionProducer } from '@tandemmq/client'
import { decodeCommand, FrameSplitter, type RemotingCommand } from '@tandemmq/protocol'
import type { Network } from '@tandemmq/remoting'

const ADDRESS = '127.0.0.1:9876'
const clock = new VirtualClock({ seed: 1 })

/** Everything our SDK asks in the situations that were recorded of released Java clients. */
export async function framesOfTheSdk(): Promise<RemotingCommand[]> {
  const network = new MemoryNetwork({ clock })
  const disk = new MemoryDisk({ soon: (callback) => clock.soon(callback) })
  const where = { clock, network, disk, dataDir: '/data', host: '127.0.0.1', port: 9876 }
  const times = { transactionTimeoutMs: 1_000, transactionCheckIntervalMs: 2_000 }
  const broker = await clock.run(startBroker({ ...where, ...times, hotBytesMax: 16 << 20, segmentBytes: 8 << 20 }))
  const frames: RemotingCommand[] = []
  await clock.run(everything(tapped(network, frames)), 600_000)
  await clock.run(broker.close(), 60_000)
  return frames
}

/** Notes the requests that clients write. */
function tapped(network: MemoryNetwork, frames: RemotingCommand[]): Network {
  return {
    listen: (where, onSocket) => network.listen(where, onSocket),
    connect: async (where) => {
      const socket = await network.connect(where)
      const splitter = new FrameSplitter({
        onFrame: (bytes, start, end) => {
          const command = decodeCommand(Buffer.from(bytes.subarray(start - 4, end)))
          if ((command.flag & 1) === 0) frames.push(command)
        },
      })
      const write = socket.write.bind(socket)
      socket.write = (bytes, start, end) => {
        splitter.push(Buffer.from(bytes.subarray(start, end)), 0, end - start)
        write(bytes, start, end)
      }
      return socket
    },
  }
}

async function everything(network: Network): Promise<void> {
  const common = { clock, network, nameServers: ADDRESS }
  const admin = new Admin(common)
  await admin.start()
  await admin.createTopic('orders', { queues: 2 })
  const producer = new Producer({ ...common, group: 'order-producer' })
  await producer.start()
  await sends(producer)
  await transactions(common)
  await consumers(common, producer)
  await operations(admin)
  await Promise.all([producer.close(), admin.close()])
}

type Common = { clock: VirtualClock; network: Network; nameServers: string }

async function sends(producer: Producer): Promise<void> {
  const message = { topic: 'orders', body: 'x', tag: 'created', keys: 'order-1', properties: { region: 'eu' } }
  await producer.send(message)
  await producer.sendAll([message, { ...message, body: 'y' }])
  producer.sendOneway(message)
  const receipt = await producer.send({ ...message, delayMs: 60_000 })
  await producer.cancel(receipt)
  await producer.send({ ...message, delayLevel: 1 })
}

async function transactions(common: Common): Promise<void> {
  const producer = new TransactionProducer({ ...common, group: 'pay', check: () => Promise.resolve('commit' as const) })
  await producer.start()
  for (const decision of ['commit', 'rollback', 'unknown'] as const) {
    await producer.sendInTransaction({ topic: 'orders', body: decision }, () => Promise.resolve(decision))
  }
  await sleep(clock, 5_000)
  await producer.close()
}

async function consumers(common: Common, producer: Producer): Promise<void> {
  const group = { ...common, startFrom: 'first' as const }
  const billing = new PushConsumer({ ...group, group: 'billing', attemptsMax: 2 })
  billing.subscribe('orders', { tags: ['created', 'paid'] }, (message) => {
    if (message.attempt === 1) throw new Error('again')
  })
  const ordered = new PushConsumer({ ...group, group: 'ordered', ordered: true })
  ordered.subscribe('orders', '*', () => undefined)
  const everybody = new PushConsumer({ ...group, group: 'everybody', mode: 'broadcasting' })
  everybody.subscribe('orders', { sql: "region = 'eu'" }, () => undefined)
  const answering = new PushConsumer({ ...group, group: 'answering' })
  answering.subscribe('questions', '*', (message) => producer.reply(message, 'an answer'))
  const all = [billing, ordered, everybody, answering]
  await Promise.all(all.map((consumer) => consumer.start()))
  await sleep(clock, 25_000)
  await producer.request({ topic: 'questions', body: 'x' }, { timeoutMs: 40_000 }).catch(() => undefined)
  await sleep(clock, 25_000)
  await Promise.all(all.map((consumer) => consumer.close()))
  const pull = new PullConsumer({ ...common, group: 'reader' })
  await pull.start()
  const [queue] = await pull.queues('orders')
  if (queue === undefined) throw new Error('there is a queue')
  const { messages } = await pull.pull(queue, 0n)
  if (messages[0] !== undefined) await pull.commit(messages[0])
  await pull.committed(queue)
  await pull.close()
}

async function operations(admin: Admin): Promise<void> {
  await admin.topics()
  const [queue] = await admin.queues('orders')
  if (queue === undefined) throw new Error('there is a queue')
  await admin.queueOffsets('orders')
  await admin.searchOffset(queue, new Date(clock.now()))
  await admin.committedOffset('billing', queue)
  const [message] = await admin.messagesByKey('orders', 'order-1')
  if (message !== undefined) await admin.messageById(message.offsetMessageId)
  await admin.groups()
  await admin.progress('billing')
  await admin.consumerConnections('billing').catch(() => undefined)
  await admin.resetOffset('billing', 'orders', 'first')
  await admin.deleteTopic('orders')
}
