import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { TimelineWatch } from './timeline-watch.ts'

function watched() {
  const clock = new VirtualClock({ seed: 1, soon: 'real' })
  const server = { timeline: '00000001', standbys: '', isAway: false }
  const anomalies: string[] = []
  const warnings: string[] = []
  const ignore = (): void => {}
  const query = async () => {
    if (server.isAway) throw new Error('away')
    return { rows: [{ timeline: server.timeline, standbys: server.standbys }] }
  }
  const watch = new TimelineWatch({
    pool: { query } as never,
    clock,
    logger: { debug: ignore, info: ignore, warn: (text) => void warnings.push(text), error: ignore },
    onAnomaly: (text) => void anomalies.push(text),
  })
  return { clock, server, anomalies, warnings, watch }
}

test('a new timeline after one without a synchronous standby is an anomaly, once', async () => {
  const { clock, server, anomalies, watch } = watched()
  watch.start()
  await clock.advance(3_000)
  expect(anomalies).toEqual([])
  server.isAway = true
  await clock.advance(3_000)
  Object.assign(server, { isAway: false, timeline: '00000002', standbys: 'b' })
  await clock.advance(3_000)
  expect(anomalies).toEqual([
    expect.stringContaining('from timeline 00000001 to 00000002 without a synchronous standby'),
  ])
  expect(watch.changes).toBe(1)
  await watch.close()
})

test('a new timeline whose commits had waited for a standby is counted and told, no anomaly', async () => {
  const { clock, server, anomalies, warnings, watch } = watched()
  watch.start()
  await clock.advance(1_500)
  server.standbys = 'a'
  await clock.advance(1_500)
  Object.assign(server, { timeline: '00000002', standbys: '' })
  await clock.advance(1_500)
  expect([anomalies, watch.changes]).toEqual([[], 1])
  expect(warnings).toEqual([expect.stringContaining('commits waited for "a"')])
  await watch.close()
})
