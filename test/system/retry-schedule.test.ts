import { startBroker } from '@tandemmq/broker'
import { MemoryDisk } from '@tandemmq/broker/simulation'
import { Admin, Producer, PushConsumer, type RetryPauses } from '@tandemmq/client'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'

const MINUTE = 60_000
/** How late a retry may come: the broker's timers, the way of a pull, a lease that is asked for again. */
const LATE_MS = 300

interface Run {
  /** ms between the deliveries of each message. */
  gaps: number[][]
  attempts: number[][]
  reasons: string[]
  deadAttempts: number[]
}

/** Lets every delivery of three messages fail under a retry policy of the group, until they are dead letters. */
async function failing(
  mode: 'clustering' | 'lease',
  retry: RetryPauses,
  attemptsMax: number,
  forMs: number,
): Promise<Run> {
  const clock = new VirtualClock({ seed: 11 })
  const network = new MemoryNetwork({ clock, latencyMs: 1 })
  const place = { dataDir: '/data', disk: new MemoryDisk(), host: '127.0.0.1', port: 9876 }
  const broker = await clock.run(startBroker({ clock, network, ...place }))
  const common = { clock, network, nameServers: broker.address }
  const admin = new Admin(common)
  const producer = new Producer({ ...common, group: 'p' })
  await clock.run(Promise.all([admin.start(), producer.start()]))
  await clock.run(admin.createGroup('g', { retry, attemptsMax }))
  const consumer = new PushConsumer({ ...common, group: 'g', mode, startFrom: 'first' })
  const times = new Map<string, number[]>()
  const attempts = new Map<string, number[]>()
  consumer.subscribe('orders', '*', (message) => {
    const body = message.text()
    times.set(body, [...(times.get(body) ?? []), clock.monotonic()])
    attempts.set(body, [...(attempts.get(body) ?? []), message.attempt])
    throw new Error(`failure ${message.attempt}`)
  })
  for (const body of ['a', 'b', 'c']) await clock.run(producer.send({ topic: 'orders', body }))
  await clock.run(consumer.start())
  await clock.advance(forMs)
  const reasons: string[] = []
  const deadAttempts: number[] = []
  const dead = admin.deadLetters('g')
  for (let one = await clock.run(dead.next()); one.done !== true; one = await clock.run(dead.next())) {
    reasons.push(one.value.reason)
    deadAttempts.push(one.value.attempts)
  }
  await clock.run(Promise.all([admin.close(), producer.close(), consumer.close()]), 120_000)
  await clock.run(broker.close())
  const gaps = [...times.values()].map((all) => all.slice(1).map((at, n) => at - all[n]!))
  return { gaps, attempts: [...attempts.values()], reasons, deadAttempts }
}

const policies: [string, RetryPauses, number, number[]][] = [
  ['levels', 'levels', 6, [10_000, 30_000, MINUTE, 2 * MINUTE, 3 * MINUTE]],
  ['a list, its last pause repeated', { delaysMs: [700, 5_000] }, 5, [700, 5_000, 5_000, 5_000]],
  ['growing up to its limit', { firstMs: 1_000, factor: 3, maxMs: 20_000 }, 6, [1_000, 3_000, 9_000, 20_000, 20_000]],
]

for (const mode of ['clustering', 'lease'] as const) {
  test.each(policies)(
    `mode ${mode}: retries come by the policy of the group, %s`,
    async (_, retry, attemptsMax, pauses) => {
      const total = pauses.reduce((sum, pause) => sum + pause + LATE_MS, MINUTE)
      const { gaps, attempts, reasons, deadAttempts } = await failing(mode, retry, attemptsMax, total)
      expect(gaps).toHaveLength(3)
      for (const own of gaps) {
        expect(own).toHaveLength(pauses.length)
        for (const [n, gap] of own.entries()) {
          expect(gap).toBeGreaterThanOrEqual(pauses[n]!)
          expect(gap).toBeLessThanOrEqual(pauses[n]! + LATE_MS)
        }
      }
      expect(attempts).toEqual(Array.from({ length: 3 }, () => Array.from({ length: attemptsMax }, (__, n) => n + 1)))
      expect(reasons).toEqual(Array.from({ length: 3 }, () => `failure ${attemptsMax}`))
      expect(deadAttempts).toEqual([attemptsMax, attemptsMax, attemptsMax])
    },
  )
}
