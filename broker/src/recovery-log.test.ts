import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { startBroker } from './broker.ts'
import { recoveryLines } from './recovery-log.ts'
import { FaultDisk } from './store/fault-disk.ts'

const nothing = { records: 3, from: 0, elapsedMs: 1, cut: undefined, damage: [], journalDamage: [], conflicts: 0 }

test('a start without losses says nothing, every other names each range', () => {
  expect(recoveryLines(nothing)).toEqual([])
  const report = {
    ...nothing,
    damage: [{ from: 10, to: 20 }],
    journalDamage: ['bytes 3 to 9 of data/journal/1'],
    cut: { from: 90, to: 95 },
    conflicts: 2,
  }
  expect(recoveryLines(report)).toEqual([
    'bytes 10 to 20 of the log are damaged and left out, as acceptDamage asks',
    'bytes 3 to 9 of data/journal/1: left out, as acceptDamage asks',
    'bytes 90 to 95 of the log were on their way when the broker ended, and are removed',
    '2 records claim an offset an earlier one has, and are in no queue',
  ])
})

test('F15: a broker that starts with acceptDamage logs what it left out', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const disk = new FaultDisk({ seed: 1, soon: (end) => clock.soon(end) })
  const lines: string[] = []
  const start = (acceptDamage: boolean) => {
    const network = new MemoryNetwork({ clock })
    const options = { clock, network, disk, dataDir: 'data', host: '10.0.0.1', port: 9000, acceptDamage }
    return clock.run(startBroker({ ...options, log: (line) => void lines.push(line) }))
  }
  await clock.run((await start(false)).close())
  expect(lines).toEqual([])
  disk.flipBit('data/journal/00000000000000000001', 100)
  await expect(start(false)).rejects.toThrow('LOG_DAMAGED')
  await clock.run((await start(true)).close())
  expect(lines).toEqual([expect.stringMatching(/^bytes \d+ to \d+ of data\/journal\/0+1: left out/)])
})
