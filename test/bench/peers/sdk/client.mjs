// One client at work in a process of its own: node client.mjs KIND produce|consume ADDRESS PACKAGES --seconds S --count N --window W
//   produce  confirmed sends with W in flight for S seconds after a warm-up; prints {"n", "seconds", "cpuMicros"}
//   consume  N messages that are there already, each acknowledged the client's way, handler empty; the clock starts with the first
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    count: { type: 'string', default: '100000' },
    window: { type: 'string', default: '256' },
  },
})
const [kind, mode, address, packages] = positionals
const seconds = Number(values.seconds)
const count = Number(values.count)
const window = Number(values.window)
const body = Buffer.alloc(1_024, 'x')
const load = (name) => import(pathToFileURL(createRequire(`${packages}/`).resolve(name)).href)
const WARM_SECONDS = 0.7

/** Each `open` gives `send` for confirmed sends and `consume(seen)`, which calls `seen` for each message. */
const clients = {
  async tandem() {
    const { Producer, PushConsumer } = await import('../../../../packages/client/dist/index.js')
    const producer = new Producer({ nameServers: address, group: 'bench', sendTimeoutMs: 30_000 })
    return {
      prepare: () => producer.start(),
      send: () => producer.send({ topic: 'bench', body }),
      async consume(seen) {
        const consumer = new PushConsumer({ nameServers: address, group: 'bench', startFrom: 'first' })
        consumer.subscribe('bench', '*', seen)
        await consumer.start()
        return () => consumer.close()
      },
      close: () => producer.close(),
    }
  },

  async nats() {
    const { connect } = await load('@nats-io/transport-node')
    const { jetstream, jetstreamManager, AckPolicy } = await load('@nats-io/jetstream')
    const connection = await connect({ servers: address })
    const js = jetstream(connection)
    const manager = await jetstreamManager(connection)
    return {
      prepare: () => manager.streams.add({ name: 'bench', subjects: ['bench'] }).catch(() => undefined),
      send: () => js.publish('bench', body),
      async consume(seen) {
        const name = 'bench'
        await manager.consumers.add('bench', {
          durable_name: name,
          ack_policy: AckPolicy.Explicit,
          max_ack_pending: 10_000,
        })
        const consumer = await js.consumers.get('bench', name)
        const messages = await consumer.consume({
          max_messages: 1_000,
          callback: (message) => {
            seen()
            message.ack()
          },
        })
        return () => messages.close()
      },
      close: () => connection.drain(),
    }
  },

  async rabbit() {
    const amqp = (await load('amqplib')).default
    const connection = await amqp.connect(`amqp://guest:guest@${address}`)
    const channel = await connection.createConfirmChannel()
    return {
      prepare: () => channel.assertQueue('bench', { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
      send: () =>
        new Promise((resolve, reject) =>
          channel.sendToQueue('bench', body, { persistent: true }, (error) => (error ? reject(error) : resolve())),
        ),
      async consume(seen) {
        await channel.prefetch(256)
        const { consumerTag } = await channel.consume('bench', (message) => {
          seen()
          channel.ack(message)
        })
        return () => channel.cancel(consumerTag)
      },
      close: () => connection.close(),
    }
  },
}

async function produce(client, goal) {
  let n = 0
  let isMeasured = false
  let isOver = false
  const lane = async () => {
    while (!isOver) {
      await client.send()
      if (isMeasured) n++
      if (goal !== undefined && n >= goal) isOver = true
    }
  }
  const lanes = Array.from({ length: window }, lane)
  await new Promise((resolve) => setTimeout(resolve, goal === undefined ? WARM_SECONDS * 1_000 : 0))
  isMeasured = true
  const started = performance.now()
  const cpu = process.cpuUsage()
  if (goal === undefined) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
    isOver = true
  }
  const done = n
  const figures = { n: done, seconds: (performance.now() - started) / 1_000, cpuMicros: spent(cpu) }
  await Promise.all(lanes)
  return figures
}

async function consume(client) {
  let n = 0
  let started = 0
  let cpu
  let stop
  const all = new Promise((resolve) => {
    stop = client.consume(() => {
      // The first tenth warms up.
      if (++n === Math.floor(count / 10)) {
        started = performance.now()
        cpu = process.cpuUsage()
      }
      if (n === count) resolve(performance.now())
    })
  })
  const end = await all
  const measured = count - Math.floor(count / 10)
  const figures = { n: measured, seconds: (end - started) / 1_000, cpuMicros: spent(cpu) }
  figures.rssMib = Math.round(process.memoryUsage.rss() / 1_048_576)
  await (await stop)()
  return figures
}

function spent(since) {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

const client = await clients[kind]()
await client.prepare()
if (mode === 'fill') console.log(JSON.stringify(await produce(client, count)))
else console.log(JSON.stringify(mode === 'produce' ? await produce(client) : await consume(client)))
await client.close()
process.exit(0)
