import type { RemotingCommand } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { startBroker } from '../broker.ts'
import { FaultDisk } from '../store/fault-disk.ts'

const HOT_BYTES = 16 << 20
const BODY_BYTES = 200_000

test('F11: while a sync hangs sends wait up to a bound, further ones are told to come back, and all that waited is stored', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const options = { clock, network, disk, dataDir: 'data', port: 9876, hotBytesMax: HOT_BYTES, log: () => {} }
  const broker = await clock.run(startBroker(options))
  const client = new RemotingClient({ clock, network })
  const answers: RemotingCommand[] = []
  const send = (): void => {
    const names = { a: 'p', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: clock.now(), h: 0, i: '', j: 0 }
    const extFields = { ...names, k: 'false', m: 'false' }
    const command = { code: 310, version: 441, extFields, body: Buffer.alloc(BODY_BYTES, 'x') }
    void client.request('127.0.0.1:9876', command, 600_000).then((answer) => answers.push(answer))
  }
  send()
  await clock.advance(1_000)
  expect(answers.map(({ code }) => code)).toEqual([0])
  disk.holdSyncs = true
  for (let second = 0; second < 30; second++) {
    for (let index = 0; index < 5; index++) send()
    await clock.advance(1_000)
  }
  const refused = answers.slice(1)
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set([2]))
  expect(refused[0]?.remark).toMatch(/SYSTEM_BUSY.*retry/)
  // Nothing moves, so the longest pause is asked for; before that nobody knew.
  const pauses = refused.map(({ extFields }) => Number(extFields['retryAfterMs']))
  expect(pauses[0]).toBeGreaterThanOrEqual(10)
  expect(pauses.at(-1)).toBe(1_000)
  expect(refused.at(-1)?.remark).toMatch(/retry after 1000 ms$/)
  const waiting = 150 - refused.length
  expect(waiting * BODY_BYTES).toBeLessThan(HOT_BYTES / 2 + 2 * BODY_BYTES)
  expect(waiting).toBeGreaterThan(30)
  expect(broker.stats().store.pending).toBe(waiting)
  expect(broker.stats().store.hotBytes).toBeLessThanOrEqual(HOT_BYTES)
  disk.holdSyncs = false
  disk.releaseSyncs()
  await clock.advance(1_000)
  expect(answers.filter(({ code }) => code === 0).length).toBe(1 + waiting)
  expect(broker.messages('orders').length).toBe(1 + waiting)
  await clock.run(broker.close(), 60_000)
})
