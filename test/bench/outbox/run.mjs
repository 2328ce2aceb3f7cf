// What messages in Postgres transactions cost: `npm run bench:outbox [-- --rounds 5 --seconds 4 --only PART --json]`, parts latency, queues,
// wal, drain, check-backs, kill. One Postgres that waits for its disk, the broker program with sync flush (`--no-disk`: neither
// waits), everything on this machine. What is compared runs in turn; medians of rounds, and only ratios mean something elsewhere. `--smoke` is tiny.
import { parseArgs } from 'node:util'
import { figuresOf, names } from './parts.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    'no-disk': { type: 'boolean', default: false },
  },
})
const { smoke, json, only } = values
const options = {
  smoke,
  disk: !values['no-disk'],
  rounds: Number(values.rounds ?? (smoke ? 1 : 5)),
  seconds: Number(values.seconds ?? (smoke ? 0.5 : 4)),
}
const chosen = only === undefined ? names : [only]
const rows = []
// In full each part has servers of its own.
for (const some of smoke ? [chosen] : chosen.map((name) => [name])) {
  for (const row of await figuresOf(some, options)) {
    rows.push(row)
    if (json) console.log(JSON.stringify(row))
  }
}
if (!json) {
  console.table(Object.fromEntries(rows.map(({ name, notes, why, ...row }) => [name, row])))
  for (const { name, notes, why } of rows) if ((notes ?? why) !== undefined) console.log(`${name}: ${notes ?? why}`)
}
process.exit(0)
