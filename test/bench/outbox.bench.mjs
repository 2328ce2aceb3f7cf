// Messages of Postgres transactions, every part once: whether the programs of `npm run bench:outbox` still run. Figures worth
// reading come from there.
import { figuresOf, names } from './outbox/parts.mjs'

async function run(rounds) {
  const rows = await figuresOf(names, { smoke: true, disk: true, rounds, seconds: 0.3 })
  return { figures: rows.map(({ name, value, verdict }) => `${name}: ${value ?? verdict}`).join('; ') }
}

export const benchmarks = [{ name: 'outbox: every part of bench:outbox, tiny', messages: { smoke: 1, full: 1 }, run }]
