// The brokers that are compared, each as a process of its own whose CPU time can be read.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, serverJars } from '../../interop/servers/process.mjs'

const tandem = fileURLToPath(new URL('../../../packages/cli/bin/tandem.js', import.meta.url))
/** Clock ticks a second in /proc. */
const TICKS = 100

class Server {
  constructor(name, port, command, args, env = {}) {
    this.name = name
    this.port = port
    this.out = ''
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', (bytes) => (this.out = (this.out + bytes).slice(-10_000)))
    }
  }

  async ready(timeoutMs = 60_000) {
    const deadline = Date.now() + timeoutMs
    while (!(await answers(this.port))) {
      if (this.child.exitCode !== null || Date.now() > deadline)
        throw new Error(`${this.name} did not start: ${this.out}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return this
  }

  /** CPU time of all threads, us; undefined where there is no /proc. */
  cpuMicros() {
    try {
      const fields = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1].split(' ')
      return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS
    } catch {
      return undefined
    }
  }

  residentMib() {
    const found = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))
    return Math.round(Number(found?.[1] ?? 0) / 1_024)
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = new Promise((resolve) => this.child.once('close', resolve))
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20_000)
    await ended
    clearTimeout(timer)
  }
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.destroy(resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

export async function startTandem(folder, flush) {
  const port = await freePort()
  const args = [tandem, 'up', '--port', String(port), '--data-dir', join(folder, 'tandem'), '--set', `flush=${flush}`]
  return new Server('TandemMQ', port, process.execPath, args).ready()
}

/** An Apache RocketMQ broker with the JVM options of its own start script, and the name server it wants. */
export async function startApache(folder, flush) {
  const lib = serverJars()
  const namePort = await freePort()
  const port = await freePort()
  const home = (name, settings) => {
    const path = join(folder, name)
    mkdirSync(join(path, 'conf'), { recursive: true })
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(join(path, 'conf/server.conf'), lines.join(''))
    for (const part of ['namesrv', 'broker']) {
      writeFileSync(join(path, `conf/logback_${part}.xml`), '<configuration><root level="OFF"/></configuration>\n')
    }
    return path
  }
  const opened = ['java.nio', 'sun.nio.ch', 'java.lang', 'java.util'].map(
    (name) => `--add-opens=java.base/${name}=ALL-UNNAMED`,
  )
  const exported = ['jdk.internal.ref', 'sun.nio.ch'].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`)
  const java = (name, path, options, main) =>
    new Server(name, name === 'name server' ? namePort : port, 'java', [
      ...[...options, ...opened, ...exported, `-Duser.home=${path}`, `-Drocketmq.home.dir=${path}`, '-cp', lib, main],
      ...['-c', join(path, 'conf/server.conf')],
    ])
  const nameServer = java(
    'name server',
    home('apache-names', { listenPort: namePort, kvConfigPath: join(folder, 'apache-names/kv.json') }),
    ['-Xmx256m'],
    'org.apache.rocketmq.namesrv.NamesrvStartup',
  )
  await nameServer.ready()
  const store = join(folder, 'apache/store')
  const settings = {
    ...{ brokerClusterName: 'DefaultCluster', brokerName: 'peer', brokerId: 0, brokerIP1: '127.0.0.1' },
    ...{ listenPort: port, haListenPort: port + 1, namesrvAddr: `127.0.0.1:${namePort}` },
    ...{ storePathRootDir: store, storePathCommitLog: join(store, 'commitlog'), diskMaxUsedSpaceRatio: 95 },
    ...{ autoCreateTopicEnable: true, flushDiskType: flush === 'sync' ? 'SYNC_FLUSH' : 'ASYNC_FLUSH' },
  }
  const heap = process.env.TANDEMMQ_PEER_HEAP ?? '8g'
  const options = [
    ...['-server', `-Xms${heap}`, `-Xmx${heap}`, '-XX:+UseG1GC', '-XX:G1HeapRegionSize=16m', '-XX:G1ReservePercent=25'],
    ...['-XX:InitiatingHeapOccupancyPercent=30', '-XX:SoftRefLRUPolicyMSPerMB=0', '-XX:-OmitStackTraceInFastThrow'],
    '-XX:MaxDirectMemorySize=15g',
  ]
  const broker = java('Apache RocketMQ', home('apache', settings), options, 'org.apache.rocketmq.broker.BrokerStartup')
  try {
    await broker.ready()
  } catch (error) {
    await nameServer.stop()
    throw error
  }
  const stop = broker.stop.bind(broker)
  broker.stop = async () => {
    await stop()
    await nameServer.stop()
  }
  return broker
}
