import { expect, test } from 'vitest'
import { append, bodiesOf, openStore, turns, virtualClock } from '../../../test/kit/store-kit.ts'
import { FaultDisk } from './fault-disk.ts'

for (const operation of ['write', 'sync'] as const) {
  test(`F08: after one failed ${operation} nothing is acknowledged or synced any more, reading goes on`, async () => {
    const disk = new FaultDisk({ seed: 1 })
    const errors: string[] = []
    const store = openStore(disk, virtualClock(), { onFenced: (error) => void errors.push(error.code) })
    const before = append(store, 'orders', 'before')
    store.commitTurn()
    await turns()
    disk.fail({ operation, code: 'EIO', times: 1, path: /commitlog/ })
    const during = append(store, 'orders', 'during')
    store.commitTurn()
    const waiting = operation === 'sync' ? append(store, 'orders', 'waiting') : during
    store.commitTurn()
    await turns()
    expect([before.state, during.state, waiting.state]).toEqual(['stored', 'failed', 'failed'])
    expect([during.error?.code, errors]).toEqual(['STORE_FENCED', ['STORE_FENCED']])
    const { operations } = disk
    expect(() => append(store, 'orders', 'after')).toThrow(/STORE_FENCED.*restart/)
    store.commitTurn()
    await turns()
    await store.close()
    expect(disk.operations).toBe(operations)
    expect(bodiesOf(store, store.findQueue('orders', 0))).toEqual(['before'])
    const again = openStore(disk.powerCut({ seed: 1 }), virtualClock())
    expect(bodiesOf(again, again.findQueue('orders', 0))[0]).toBe('before')
  })
}

test('F08: what a failed sync left in the page cache survives a restart and then a power cut', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const store = openStore(disk, virtualClock())
  const state = store.journal
  state.append('colours', 'red')
  append(store, 'orders', 'before')
  store.commitTurn()
  await turns()
  disk.fail({ operation: 'sync', code: 'EIO' })
  state.append('colours', 'blue')
  append(store, 'orders', 'during')
  store.commitTurn()
  await turns()
  await store.close()
  const killed = disk.killed()
  const restarted = openStore(killed, virtualClock())
  expect(bodiesOf(restarted, restarted.findQueue('orders', 0))).toEqual(['before', 'during'])
  const after = append(restarted, 'orders', 'after')
  restarted.commitTurn()
  await turns()
  expect(after.state).toBe('stored')
  const again = openStore(killed.powerCut({ seed: 1, keeps: 'none' }), virtualClock())
  expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual(['before', 'during', 'after'])
  const colours: unknown[] = []
  again.journal.register('colours', { apply: (entry) => void colours.push(entry), snapshot: () => [] })
  expect(colours).toEqual(['red', 'blue'])
})

test('F11: while a sync hangs nothing is acknowledged, and everything is when it ends', async () => {
  const disk = new FaultDisk({ seed: 1 })
  const clock = virtualClock()
  const store = openStore(disk, clock)
  disk.holdSyncs = true
  const outcomes = Array.from({ length: 50 }, (_, index) => {
    const outcome = append(store, 'orders', `${index}`)
    store.commitTurn()
    return outcome
  })
  await clock.advance(30_000)
  expect(outcomes.filter(({ state }) => state !== 'waiting')).toEqual([])
  disk.holdSyncs = false
  disk.releaseSyncs()
  await turns(20)
  expect(outcomes.filter(({ state }) => state !== 'stored')).toEqual([])
})

for (const flush of ['sync', 'async'] as const) {
  test(`F12: a full disk refuses new messages (${flush}), serves the old ones, and takes new ones when there is room`, async () => {
    const clock = virtualClock()
    const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
    const store = openStore(disk, clock, { flush, segmentBytes: 1 << 20 })
    const bodies = ['first', 'y'.repeat(5000)]
    append(store, 'orders', 'first')
    store.commitTurn()
    await clock.advance(300)
    disk.capacityBytes = 1000
    const limbo = append(store, 'orders', 'y'.repeat(5000))
    store.commitTurn()
    await clock.advance(300)
    expect(limbo.state).toBe('waiting')
    expect(() => append(store, 'orders', 'refused')).toThrow(/DISK_FULL/)
    expect(bodiesOf(store, store.findQueue('orders', 0))).toEqual(['first'])
    await clock.advance(2000)
    expect(() => append(store, 'orders', 'refused')).toThrow(/DISK_FULL/)
    disk.capacityBytes = Infinity
    await clock.advance(1000)
    expect(limbo.state).toBe('stored')
    append(store, 'orders', 'later')
    await clock.advance(300)
    expect(bodiesOf(store, store.findQueue('orders', 0))).toEqual([...bodies, 'later'])
    const again = openStore(disk.powerCut({ seed: 1 }), clock)
    expect(bodiesOf(again, again.findQueue('orders', 0))).toEqual([...bodies, 'later'])
  })
}

test('F14: no file handle for the next segment refuses the message, not the store', async () => {
  const clock = virtualClock()
  const disk = new FaultDisk({ seed: 1, soon: (callback) => clock.soon(callback) })
  const store = openStore(disk, clock, { flush: 'async', segmentBytes: 2000 })
  const fault = disk.fail({ operation: 'open', code: 'EMFILE', path: /commitlog/ })
  append(store, 'orders', 'x'.repeat(1500))
  store.commitTurn()
  expect(() => append(store, 'orders', 'x'.repeat(1500))).toThrow(/DISK_FULL/)
  fault.stop()
  await clock.advance(1000)
  expect(append(store, 'orders', 'x'.repeat(1500)).state).toBe('waiting')
  store.commitTurn()
  expect(store.queue('orders', 0).maxOffset).toBe(2)
})
