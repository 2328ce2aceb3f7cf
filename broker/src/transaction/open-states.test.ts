import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { type OpenHalves } from './open-states.ts'
import { TransactionService } from './index.ts'

test('open half messages are counted by what they wait for, with the age of the oldest of each', async () => {
  const clock = testClock()
  const log = new ScriptLog(clock)
  const connected = new Set(['asked', 'undecided'])
  const service = new TransactionService({ clock, log, ask: ({ group }) => connected.has(group) })
  service.start()
  const half = (group: string) => {
    const { fields, scan } = message('orders', group, { UNIQ_KEY: group, TRAN_MSG: 'true', PGROUP: group })
    service.appendHalf(fields, scan, group, 7)
    return { group, physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  }
  const open = (): Record<string, [number, number]> => {
    const all = service.openHalves()
    let step = all.next()
    while (step.done !== true) step = all.next()
    const rows: readonly OpenHalves[] = step.value
    return Object.fromEntries(
      rows.filter(({ count }) => count > 0).map((row) => [row.state, [row.count, row.oldestMs]]),
    )
  }
  for (const group of ['asked', 'asked', 'missed']) half(group)
  const undecided = half('undecided')
  await clock.advance(6_500)
  service.end({ ...undecided, decision: 'unknown', fromCheck: true }, () => {})
  half('young')
  const settling = half('settling')
  await clock.advance(10)
  service.end({ ...settling, decision: 'commit', fromCheck: false }, () => {})
  const expected = {
    unanswered: [2, 6_510],
    unasked: [1, 6_510],
    undecided: [1, 6_510],
    young: [1, 10],
    settling: [1, 10],
  }
  expect(open()).toEqual(expected)
  log.flush()
  const { settling: _settled, ...left } = expected
  expect(open()).toEqual(left)
})

test('two thousand are counted in slices', () => {
  const clock = testClock()
  const service = new TransactionService({ clock, log: new ScriptLog(clock), ask: () => false })
  for (let n = 0; n < 2_000; n++) {
    const { fields, scan } = message('orders', `m${n}`, { UNIQ_KEY: `m${n}`, TRAN_MSG: 'true', PGROUP: 'g' })
    service.appendHalf(fields, scan, 'g', 7)
  }
  const all = service.openHalves()
  let pauses = 0
  while (all.next().done !== true) pauses++
  expect(pauses).toBe(4)
})
