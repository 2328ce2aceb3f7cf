// The SDK against the real program in a process of its own, 1 KiB bodies. CPU is that of the client process.
import { Producer, PushConsumer } from '../../packages/client/dist/index.js'
import { withBroker } from './broker-program.mjs'
import { measure } from './figures.mjs'

const body = Buffer.alloc(1024, 'x')
const IN_FLIGHT = 256

async function withProducer(address, work) {
  const producer = new Producer({ nameServers: address, group: 'bench' })
  await producer.start()
  try {
    return await work(producer)
  } finally {
    await producer.close()
  }
}

async function sendAll(producer, count, inFlight, latencies) {
  let next = 0
  const lane = async () => {
    while (next++ < count) {
      const started = performance.now()
      await producer.send({ topic: 'bench', body })
      latencies?.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

const produce = (flush, inFlight) => (count) =>
  withBroker([`flush=${flush}`], ({ address }) =>
    withProducer(address, async (producer) => {
      await sendAll(producer, Math.min(count, 2_000), inFlight)
      const latencies = []
      return measure(count, async () => {
        await sendAll(producer, count, inFlight, latencies)
        return latencies
      })
    }),
  )

const consume = (count) =>
  withBroker(['flush=async'], async ({ address }) => {
    await withProducer(address, (producer) => sendAll(producer, count, IN_FLIGHT))
    const consumer = new PushConsumer({ nameServers: address, group: 'bench', startFrom: 'first', concurrencyMax: 64 })
    const all = new Promise((resolve) => {
      let seen = 0
      consumer.subscribe('bench', '*', async () => {
        if (++seen === count) resolve()
      })
    })
    const figures = await measure(count, async () => {
      await consumer.start()
      await all
    })
    await consumer.close()
    return figures
  })

export const benchmarks = [
  {
    name: `sdk: produce, async flush, ${IN_FLIGHT} in flight`,
    messages: { smoke: 500, full: 300_000 },
    run: produce('async', IN_FLIGHT),
  },
  {
    name: `sdk: produce, sync flush, ${IN_FLIGHT} in flight`,
    messages: { smoke: 500, full: 300_000 },
    run: produce('sync', IN_FLIGHT),
  },
  { name: 'sdk: produce, sync flush, one by one', messages: { smoke: 50, full: 10_000 }, run: produce('sync', 1) },
  { name: 'sdk: consume', messages: { smoke: 500, full: 300_000 }, run: consume },
]
