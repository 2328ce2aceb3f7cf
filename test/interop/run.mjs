// Runs released RocketMQ clients against our broker and prints one table, client by scenario. It exits 1 when a cell is red.
// node test/interop/run.mjs [--clients java-5.3.3,go] [--scenarios sendSync,retry]
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Broker } from './broker.mjs'
import { runDriver } from './driver.mjs'
import { runMqadmin } from './mqadmin.mjs'
import { printTable } from './table.mjs'
import { aliOnsDriver, goDriver, javaDriver, jvmOptions, missingTools } from './toolchain.mjs'

const javaTools = ['java', 'javac', 'mvn']
const javaClient = (version, generation) => ({
  tools: javaTools,
  run: (context) =>
    runDriver({
      ...context,
      command: [
        'java',
        ...jvmOptions(context.scratch, version),
        '-cp',
        javaDriver(version, generation, context.scratch),
        'Driver',
      ],
    }),
})

const clients = {
  'java-5.3.3': javaClient('5.3.3', 'v5'),
  'java-4.9.8': javaClient('4.9.8', 'v4'),
  'go-2.1.2': { tools: ['go'], run: (context) => runDriver({ ...context, command: [goDriver(context.scratch)] }) },
  'ali-ons-3.12.0': {
    tools: ['npm'],
    run: (context) =>
      runDriver({ ...context, cwd: aliOnsDriver(context.scratch), command: [process.execPath, 'driver.mjs'] }),
  },
  'mqadmin-5.3.3': {
    tools: javaTools,
    run: (context) =>
      runMqadmin({
        ...context,
        java: [...jvmOptions(context.scratch, 'mqadmin'), '-cp', javaDriver('5.3.3', 'v5', context.scratch)],
      }),
  },
}

const { values } = parseArgs({ options: { clients: { type: 'string' }, scenarios: { type: 'string' } } })
const chosen = values.clients === undefined ? Object.keys(clients) : values.clients.split(',')
const unknown = chosen.filter((name) => clients[name] === undefined)
const problems = [
  ...unknown.map((name) => `there is no client ${name}, only ${Object.keys(clients).join(', ')}`),
  ...missingTools(new Set(chosen.flatMap((name) => clients[name]?.tools ?? []))),
]
if (problems.length > 0) {
  for (const problem of problems) console.error(`interop: ${problem}`)
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'tandemmq-interop-'))
const broker = await Broker.start(scratch)
process.once('SIGINT', () => broker.stop().finally(() => process.exit(130)))
process.once('SIGTERM', () => broker.stop().finally(() => process.exit(143)))
const results = new Map()
try {
  const run = Date.now().toString(36)
  for (const [at, name] of chosen.entries()) {
    const folder = join(scratch, name)
    mkdirSync(folder)
    const context = {
      name,
      broker,
      scratch: folder,
      prefix: `${run}${at}`,
      scenarios: values.scenarios?.split(',') ?? [],
    }
    const outcome = await clients[name]
      .run({ ...context, logFile: join(folder, 'log.txt') })
      .catch((error) => new Map([['(start)', `failed ${error.message}`]]))
    results.set(name, outcome)
  }
} finally {
  await broker.stop()
}
const red = printTable(results)
const complaints = broker.log.filter((line) => line.includes('failed:'))
for (const line of complaints) console.log(`broker: ${line}`)
if (red > 0 || complaints.length > 0) {
  console.log(`Logs: ${scratch}`)
  process.exitCode = 1
} else {
  rmSync(scratch, { recursive: true, force: true })
}
