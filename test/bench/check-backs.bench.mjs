// Check-backs in the real program: a backlog of half messages whose sender is gone, from the moment a client that knows the
// answers starts until the broker has settled all of them. 100-byte bodies, flush=async; `batched` asks by transaction id,
// many in one request, `single` sends each half message to a classic listener. Broker and client share the machine.
import { readFileSync } from 'node:fs'
import { setTimeout as elapse } from 'node:timers/promises'
import { Admin, TransactionProducer } from '../../packages/client/dist/index.js'
import { withBroker } from './broker-program.mjs'

const body = Buffer.alloc(100, 'x')
const IN_FLIGHT = 512
const DOMAIN = '018f2f4e-0000-7000-8000-000000000001'

const settings = (timeoutMs) => ['flush=async', 'dedupWindowMs=0', `transactionTimeoutMs=${timeoutMs}`]

const cpuSeconds = ({ pid }) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function park(address, count, properties) {
  const unknown = async () => 'unknown'
  const producer = new TransactionProducer({
    nameServers: address,
    group: 'gone',
    sendTimeoutMs: 30_000,
    check: unknown,
  })
  await producer.start()
  let next = 0
  const lane = async () => {
    for (let n = next++; n < count; n = next++) await producer.prepare({ topic: 'orders', body, properties })
  }
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, count) }, lane))
  await producer.close()
}

async function settled(admin) {
  while ((await admin.transactions(1)).length > 0) await elapse(5)
}

/** @param answer a check-back's answer: `unknown` measures the asking alone */
function settle(count, answer, isBatched) {
  return withBroker(settings(3_600_000), async (broker) => {
    await park(broker.address, count, isBatched ? { TANDEM_DOMAIN: DOMAIN } : {})
    // Due all at once, and their sender is not known any more.
    await broker.stop()
    await broker.start(...settings(1))
    const told = { asked: 0, lastAt: 0 }
    const heard = (number) => {
      told.asked += number
      if (told.asked <= count) told.lastAt = performance.now()
    }
    const client = new TransactionProducer({
      nameServers: broker.address,
      group: isBatched ? 'resolvers' : 'gone',
      check: async () => {
        heard(1)
        return answer
      },
    })
    if (isBatched) {
      client.answerFor(DOMAIN, async (ids) => {
        heard(ids.length)
        return ids.map(() => answer)
      })
    }
    const brokerCpu = cpuSeconds(broker)
    const clientCpu = process.cpuUsage()
    const startedAt = performance.now()
    await client.start()
    const admin = new Admin({ nameServers: broker.address })
    await admin.start()
    while (told.asked < count) await elapse(5)
    const { user, system } = process.cpuUsage(clientCpu)
    if (answer !== 'unknown') await settled(admin)
    const seconds = ((answer === 'unknown' ? told.lastAt : performance.now()) - startedAt) / 1000
    const brokerMicros = ((cpuSeconds(broker) - brokerCpu) * 1e6) / count
    await Promise.all([admin.close(), client.close()])
    return {
      perSecond: Math.round(count / seconds),
      brokerCpuMicros: Number(brokerMicros.toFixed(2)),
      clientCpuMicros: Number(((user + system) / count).toFixed(2)),
    }
  })
}

const sizes = { smoke: 200, full: 120_000 }
export const benchmarks = [
  { name: 'check-backs batched, answered unknown', messages: sizes, run: (n) => settle(n, 'unknown', true) },
  { name: 'check-backs batched, rolled back', messages: sizes, run: (n) => settle(n, 'rollback', true) },
  { name: 'check-backs batched, committed', messages: sizes, run: (n) => settle(n, 'commit', true) },
  {
    name: 'check-backs single, rolled back',
    messages: { smoke: 200, full: 30_000 },
    run: (n) => settle(n, 'rollback', false),
  },
]
