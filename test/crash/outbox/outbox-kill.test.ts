import { expect, test } from 'vitest'
import { killOrders } from './outbox-kill.ts'

// `npm run crash:outbox -- --rounds 10 --seed 7` runs this at length.
const rounds = Number(process.env['CRASH_ROUNDS'] ?? 1)
const seed = Number(process.env['CRASH_SEED'] ?? 1)
const points = ['P2', 'P4', 'P6', 'P7', 'P10', 'P11', 'P12', 'P14']

test(
  'kill -9 of the orders service at eight points: committed orders arrive once, rolled-back ones never, nothing stays behind',
  async () => {
    const { lost, ghosts, doubles, untrue, leftovers, committed, figures } = await killOrders({
      designs: ['outbox-pg', 'outbox-knex'],
      points,
      rounds,
      seed,
    })
    console.log(JSON.stringify(figures))
    expect({ lost, ghosts, doubles, untrue, leftovers }).toEqual({
      lost: [],
      ghosts: [],
      doubles: [],
      untrue: [],
      leftovers: [],
    })
    expect(figures['anomalies']).toBe(0)
    expect(committed).toBeGreaterThan(points.length * rounds)
  },
  60_000 + rounds * 120_000,
)

test(
  'the harness reports the losses of the negative control: half first, plain SELECT',
  async () => {
    const { lost, ghosts, doubles, received, figures } = await killOrders({
      designs: ['half-first'],
      points: ['P11', 'P14'],
      rounds,
      seed,
    })
    console.log(JSON.stringify(figures))
    expect(lost.length).toBeGreaterThan(0)
    // It loses; it is not simply broken.
    expect(received).toBeGreaterThan(0)
    expect([...ghosts, ...doubles]).toEqual([])
  },
  60_000 + rounds * 60_000,
)
