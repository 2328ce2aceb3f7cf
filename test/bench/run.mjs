// Runs every benchmark of this folder against the built packages: `--smoke` tiny, otherwise in full; names select some.
// Prints a table and, with `--json`, one JSON line per figure. Figures are for comparing within one run: the machine is noisy.
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: 'boolean' }, json: { type: 'boolean' } },
})
const folder = fileURLToPath(new URL('.', import.meta.url))
const files = (await readdir(folder)).filter((name) => name.endsWith('.bench.mjs')).sort()
const size = values.smoke ? 'smoke' : 'full'
const rows = []

for (const file of files) {
  const { benchmarks } = await import(`${folder}${file}`)
  for (const { name, messages, run } of benchmarks) {
    if (positionals.length > 0 && !positionals.some((part) => `${file} ${name}`.includes(part))) continue
    const count = messages[size]
    const figures = await run(count)
    rows.push({ name, messages: count, ...figures })
    if (values.json) console.log(JSON.stringify(rows.at(-1)))
  }
}
if (!values.json) console.table(Object.fromEntries(rows.map(({ name, ...figures }) => [name, figures])))
process.exit(0)
