// Gets the peers' clients and Kafka once and keeps them in the cache folder of the interoperability runs; nothing of it is a dependency
// of this project. Servers of NATS and RabbitMQ are those of the system: apt-get install nats-server rabbitmq-server.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const cache =
  process.env.TANDEMMQ_INTEROP_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tandemmq-interop')

function run(command, args, options) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (status === 0) return
  const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-5).join('\n')
  throw new Error(`${command} ${args[0]} failed ${error?.message ?? ''}\n${said}`)
}

/** A folder filled once; its name changes with the file that says what goes in. */
function kept(name, file, fill) {
  const digest = createHash('sha256')
    .update(readFileSync(join(here, file)))
    .digest('hex')
    .slice(0, 12)
  const folder = join(cache, `bench-${name}-${digest}`)
  if (existsSync(folder)) return folder
  const staging = `${folder}.${process.pid}`
  mkdirSync(staging, { recursive: true })
  console.error(`Fetching ${name} …`)
  try {
    fill(staging)
    renameSync(staging, folder)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
  return folder
}

const packages = (name, file) =>
  kept(name, file, (folder) => {
    copyFileSync(join(here, file), join(folder, 'package.json'))
    run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock'], { cwd: folder })
  })

/** @returns folder whose node_modules has nats.js and amqplib */
export const nodeClients = () => packages('node-clients', 'package.json')

/** @returns folder whose node_modules has pg-boss and graphile-worker */
export const jobQueues = () => packages('job-queues', 'job-queues.json')

/** @returns class path of Kafka's broker and tools */
export const kafkaJars = () =>
  `${kept('kafka', 'pom.xml', (folder) =>
    run('mvn', [
      ...['-B', '-q', '-f', join(here, 'pom.xml'), 'dependency:copy-dependencies'],
      ...[`-DoutputDirectory=${folder}`, '-DincludeScope=runtime'],
    ]),
  )}/*`

/** @returns why this program cannot be run, or undefined */
export function missing(program, how) {
  const { status } = spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
  return status === 0 ? undefined : `${program} is missing: ${how}`
}
