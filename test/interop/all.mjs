// Everything of this folder: `npm run interop [-- --only clients,mixed]`. The longest part runs beside the others. Prints each part's table,
// exits 1 when a cell is red or a tool is missing. After a whole run without a red cell `--write` puts the tables into
// docs/compatibility.md.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const parts = {
  clients: { file: 'run.mjs', title: 'Released clients on TandemMQ' },
  apache: { file: 'apache.mjs', title: 'Our SDK, outbox and Nest demo on Apache RocketMQ 5.3.3' },
  chaos: { file: 'chaos.mjs', title: 'Apps and Postgres killed under the outbox on Apache RocketMQ 5.3.3' },
  mixed: { file: 'mixed-group.mjs', title: 'A Java 5.3.3 consumer and one of ours in one group' },
  servers: { file: 'several-servers.mjs', title: "Apache's and our servers in one cluster, by name server" },
}
const BEGIN = '<!-- interop:begin -->'
const END = '<!-- interop:end -->'
const page = fileURLToPath(new URL('../../docs/compatibility.md', import.meta.url))

const { values } = parseArgs({ options: { only: { type: 'string' }, write: { type: 'boolean' } } })
const chosen = values.only?.split(',') ?? Object.keys(parts)
const unknown = chosen.filter((name) => parts[name] === undefined)
if (unknown.length > 0) {
  console.error(`interop: there is no part ${unknown.join(', ')}, only ${Object.keys(parts).join(', ')}`)
  process.exit(1)
}

function run(name) {
  const path = fileURLToPath(new URL(parts[name].file, import.meta.url))
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (bytes) => {
    out += bytes
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ out, code }))
  })
}

const sections = new Map()
let failed = 0
/** Whole parts at a time, so that their lines do not mix. */
async function runAll(names) {
  for (const name of names) {
    const started = Date.now()
    const { out, code } = await run(name)
    if (code !== 0) failed++
    const seconds = Math.round((Date.now() - started) / 1_000)
    console.log(
      `\n${parts[name].title}\n\n${out}\n${name}: ${code === 0 ? 'green' : `ended with ${code}`} after ${seconds} s`,
    )
    const table = out.split('\n').filter((line) => /\b(green|RED|·)/.test(line) || /^scenario\b/.test(line))
    sections.set(name, `### ${parts[name].title}\n\n\`\`\`\n${table.join('\n')}\n\`\`\`\n`)
  }
}
await Promise.all([
  runAll(chosen.filter((name) => name === 'clients')),
  runAll(chosen.filter((name) => name !== 'clients')),
])
if (failed === 0 && values.write && values.only === undefined) {
  const text = readFileSync(page, 'utf8')
  const [before, rest] = text.split(BEGIN)
  const after = rest?.split(END)[1]
  if (after === undefined) throw new Error(`${page} has no ${BEGIN} and ${END}`)
  writeFileSync(page, `${before}${BEGIN}\n\n${chosen.map((name) => sections.get(name)).join('\n')}\n${END}${after}`)
}
console.log(failed === 0 ? '\nInterop: all green.' : `\nInterop: ${failed} of ${chosen.length} parts failed.`)
process.exit(failed === 0 ? 0 : 1)
