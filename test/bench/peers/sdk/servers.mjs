// The servers whose clients are compared, each started fresh in a folder of its own.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../../interop/servers/process.mjs'

const tandem = fileURLToPath(new URL('../../../../packages/cli/bin/tandem.js', import.meta.url))

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.destroy(resolve(true)))
    socket.once('error', () => resolve(false))
  })

/** A process group, because RabbitMQ's server is a tree of processes. */
async function start(name, port, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => (out = (out + bytes).slice(-5_000)))
  }
  let failure
  child.once('error', (error) => (failure = error))
  const ended = new Promise((resolve) => child.once('close', resolve))
  const kill = (signal) => {
    try {
      process.kill(-child.pid, signal)
    } catch {
      // It has ended.
    }
  }
  const deadline = Date.now() + 90_000
  while (!(await answers(port))) {
    if (failure !== undefined || child.exitCode !== null || Date.now() > deadline) {
      kill('SIGKILL')
      throw new Error(`${name} did not start: ${failure?.message ?? out}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const stop = async () => {
    kill('SIGTERM')
    const timer = setTimeout(() => kill('SIGKILL'), 20_000)
    await ended
    clearTimeout(timer)
  }
  return { name, address: `127.0.0.1:${port}`, stop }
}

export const servers = {
  async tandem(folder) {
    const port = await freePort()
    const args = [tandem, 'up', '--port', String(port), '--data-dir', folder, '--set', 'flush=async']
    return start('TandemMQ', port, process.execPath, args)
  },

  /** Acknowledges before it syncs, as every JetStream server by default: hence `flush=async` for ours. */
  async nats(folder) {
    const port = await freePort()
    return start('NATS', port, 'nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder])
  },

  async rabbit(folder) {
    const port = await freePort()
    const distribution = await freePort()
    const settings = join(folder, 'rabbitmq.conf')
    writeFileSync(settings, `listeners.tcp.1 = 127.0.0.1:${port}\n`)
    writeFileSync(join(folder, 'plugins'), '[].\n')
    const env = {
      ...process.env,
      HOME: folder,
      RABBITMQ_NODENAME: `bench${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_CONFIG_FILE: settings,
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
    }
    const program = ['/usr/lib/rabbitmq/bin/rabbitmq-server', 'rabbitmq-server'].find(
      (path) => spawnSync('sh', ['-c', `command -v ${path}`]).status === 0,
    )
    return start('RabbitMQ', port, program ?? 'rabbitmq-server', [], { env })
  },

  /** One KRaft node with the settings of its own example file. */
  async kafka(folder, jars) {
    const port = await freePort()
    const controller = await freePort()
    const data = join(folder, 'data')
    mkdirSync(data)
    const settings = {
      ...{ 'process.roles': 'broker,controller', 'node.id': 1, 'controller.listener.names': 'CONTROLLER' },
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
      'log.dirs': data,
      ...{ 'num.partitions': 4, 'offsets.topic.replication.factor': 1, 'transaction.state.log.replication.factor': 1 },
    }
    const file = join(folder, 'server.properties')
    writeFileSync(
      file,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const format = spawnSync(
      'java',
      ['-cp', jars, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', file],
      { encoding: 'utf8' },
    )
    if (format.status !== 0) throw new Error(`Kafka's storage was not formatted: ${format.stdout}${format.stderr}`)
    const args = ['-Xms1g', '-Xmx1g', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-cp', jars, 'kafka.Kafka', file]
    return start('Kafka', port, 'java', args)
  },
}
