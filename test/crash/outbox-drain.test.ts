import { expect, test } from 'vitest'
import { drainOutbox, TABLE_BYTES_MAX } from './outbox-drain.ts'

// `npm run crash:outbox -- drain --rows 1000000` runs this at length, with the comparison and the memory of the processes.
const rows = Number(process.env['CRASH_ROWS'] ?? 20_000)
const long = process.env['CRASH_ROWS'] !== undefined

test(
  'what committed during an outage arrives once, in the order of its keys, and two processes leave an empty table',
  async () => {
    const { missing, repeated, overtaken, anomalies, tableBytes, figures } = await drainOutbox({
      rows,
      keys: Math.max(100, rows / 500),
      processes: 2,
      kills: false,
      oneByOneRows: long ? 20_000 : 0,
    })
    console.log(JSON.stringify(figures))
    expect({ missing, repeated, overtaken, anomalies }).toEqual({ missing: 0, repeated: 0, overtaken: 0, anomalies: 0 })
    expect(tableBytes).toBeLessThan(TABLE_BYTES_MAX)
  },
  180_000 + rows * 6,
)

// The lease of a killed relay takes half a minute: long runs only.
test.runIf(long)(
  'the same with kill -9 of a relay, the broker and Postgres in the middle: nothing lost, nothing twice, no key out of order',
  async () => {
    const { missing, repeated, overtaken, figures } = await drainOutbox({
      rows: long ? rows / 10 : rows,
      ...{ keys: 100, processes: 2, kills: true, oneByOneRows: 0 },
    })
    console.log(JSON.stringify(figures))
    expect({ missing, repeated, overtaken }).toEqual({ missing: 0, repeated: 0, overtaken: 0 })
  },
  240_000 + rows * 6,
)
