import { encodeProperties } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { afterAll, expect, test } from 'vitest'
import { FaultDisk } from '../../broker/src/store/fault-disk.ts'
import { type Mutant, mutantBroker, removeMutants } from './lab/mutant.ts'

const sound: Mutant = { name: 'none: the broker as it is' }

/** Each breaks a promise about delayed messages; the test below must see it. */
const mutants: readonly Mutant[] = [
  {
    name: 'a timer is delivered 1 s early',
    patches: [
      {
        file: 'delay/deliveries.js',
        from: 'const now = Math.min(this.#clock.now(), this.#options.turnTimestamp());',
        to: 'const now = Math.min(this.#clock.now(), this.#options.turnTimestamp()) + 1_000;',
      },
      { file: 'delay/deliveries.js', from: 'nextDue - now', to: 'nextDue - 1_000 - now' },
    ],
  },
  {
    name: 'a rescheduled timer keeps its old time too',
    patches: [{ file: 'delay/timer-changes.js', from: 'table.drop(id);', to: 'table.move(id, TimerState.pending);' }],
  },
  {
    name: 'after a restart a rescheduled timer has both times',
    patches: [
      {
        file: 'delay/delay-service.js',
        from: 'if (parked !== undefined)\n                this.#table.drop(settled);',
        to: 'if (parked !== undefined)\n                void 0;',
      },
    ],
  },
  {
    name: 'a cancel is answered and forgotten',
    patches: [
      {
        file: 'delay/timer-changes.js',
        from: 'this.#ops.append(this.#options.table.physicalOffset(id), now, {',
        to: '((completion) => this.#options.clock.soon(() => completion.stored()))({',
      },
    ],
  },
]

afterAll(() => removeMutants([sound, ...mutants]))

/** A short life with sends, cancels, moves and a restart. @returns what was wrong */
async function live(mutant: Mutant): Promise<string[]> {
  const startBroker = await mutantBroker(mutant)
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const disk = new FaultDisk({ seed: 1 })
  const options = { clock, network, dataDir: '/data', port: 9876, log: () => {} }
  let broker = await clock.run(startBroker({ ...options, disk }))
  let client = new RemotingClient({ clock, network })
  const ask = (code: number, extFields: Record<string, string | number>, body: object | string) => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
    return clock.run(client.request('127.0.0.1:9876', { code, version: 441, extFields, body: bytes }, 60_000))
  }
  const due = new Map<string, number>()
  for (let n = 0; n < 40; n++) {
    const id = `m${n}`
    due.set(id, clock.now() + 10_000 + n * 137)
    const properties = encodeProperties({ UNIQ_KEY: id, KEYS: id, TIMER_DELIVER_MS: `${due.get(id)}` }).toString()
    const names = { a: 'p', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: 'false', m: 'false' }
    await ask(310, { ...names, i: properties }, id)
  }
  for (let n = 0; n < 40; n += 4) {
    await ask(9107, {}, { topic: 'orders', key: `m${n}` })
    due.delete(`m${n}`)
    const deliverAt = clock.now() + 30_000 + n
    await ask(9106, {}, { topic: 'orders', key: `m${n + 1}`, deliverAt })
    due.set(`m${n + 1}`, deliverAt)
  }
  await clock.advance(12_000)
  // As kill -9 leaves it: an orderly end would write down what the broker believes.
  const left = disk.killed({ seed: 1 })
  await clock.run(client.close())
  await clock.run(broker.close())
  broker = await clock.run(startBroker({ ...options, disk: left }))
  client = new RemotingClient({ clock, network })
  await clock.advance(60_000)
  const wrong: string[] = []
  const seen = new Set<string>()
  for (const { body, storeTimestamp } of broker.messages('orders')) {
    const id = body.toString()
    const dueAt = due.get(id)
    if (dueAt === undefined) wrong.push(`${id} was cancelled and came`)
    else if (storeTimestamp < dueAt) wrong.push(`${id} came ${dueAt - storeTimestamp} ms early`)
    if (seen.has(id)) wrong.push(`${id} came twice`)
    seen.add(id)
  }
  for (const id of due.keys()) if (!seen.has(id)) wrong.push(`${id} never came`)
  await clock.run(client.close())
  await clock.run(broker.close())
  return wrong
}

test('the broker the mutants are made from keeps its promises about timers', async () => {
  expect(await live(sound)).toEqual([])
})

test.each(mutants)('a short life with timers shows: $name', async (mutant) => {
  expect(await live(mutant)).not.toEqual([])
})
