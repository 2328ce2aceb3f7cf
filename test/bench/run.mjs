// Runs every benchmark of this folder against the built packages: `--smoke` tiny, otherwise in full; names select some.
// Prints a line for each, as JSON with `--json`. Figures are for comparing within one run: the machine is noisy.
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
let rows = 0

/** @param {Record<string, unknown>} figures */
const inWords = (figures) =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ')

for (const file of files) {
  const { benchmarks } = await import(`${folder}${file}`)
  for (const { name, messages, run } of benchmarks) {
    if (positionals.length > 0 && !positionals.some((part) => `${file} ${name}`.includes(part))) continue
    const count = messages[size]
    const figures = await run(count)
    rows++
    console.log(
      values.json ? JSON.stringify({ name, messages: count, ...figures }) : `${name} (${count}): ${inWords(figures)}`,
    )
  }
}
if (rows === 0) console.error(`no benchmark is called ${positionals.join(' or ')}`)
process.exit(rows === 0 ? 1 : 0)
