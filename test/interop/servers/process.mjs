// Servers and clients as processes of their own, each line of their output kept.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const tandem = fileURLToPath(new URL('../../../packages/cli/bin/tandem.js', import.meta.url))
const cache =
  process.env.TANDEMMQ_INTEROP_HOME ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tandemmq-interop')

export const VERSION = '5.3.3'
const FIRST_PORT = 22_000
const STOP_MS = 15_000

const taken = new Set()
/** A port for which the one two below is free too: a stock broker also opens its VIP port. */
export async function freePort() {
  for (let port = FIRST_PORT; port < FIRST_PORT + 1000; port += 5) {
    if (taken.has(port) || !(await isFree(port)) || !(await isFree(port - 2))) continue
    taken.add(port)
    return port
  }
  throw new Error(`no port from ${FIRST_PORT} on is free`)
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Asks again every 200 ms. */
export async function until(what, isSo, timeoutMs = 45_000) {
  const deadline = Date.now() + timeoutMs
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** A running program. */
export class Program {
  lines = []
  #child

  constructor(command, args, options = {}) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line))
    }
    this.#child.once('error', (error) => this.lines.push(error.message))
  }

  get isOver() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  write(line) {
    this.#child.stdin.write(`${line}\n`)
  }

  /** No more input: a program that reads its input ends. */
  end() {
    this.#child.stdin.end()
  }

  /** Waits for a line. @returns it */
  async line(pattern, timeoutMs = 60_000) {
    await until(
      `${pattern} in ${this.lines.slice(-5).join(' | ')}`,
      () => {
        if (this.lines.some((line) => pattern.test(line))) return true
        if (this.isOver) throw new Error(`ended before ${pattern}: ${this.lines.slice(-10).join(' | ')}`)
        return false
      },
      timeoutMs,
    )
    return this.lines.find((line) => pattern.test(line))
  }

  async stop(signal = 'SIGTERM') {
    if (this.isOver) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await ended
    clearTimeout(timer)
  }
}

export const ours = (...args) => new Program(process.execPath, [tandem, ...args])

/** Apache's servers, clients and tool. */
export class Apache {
  #scratch
  #lib

  /** @param scratch folder of this run alone */
  constructor(scratch) {
    this.#scratch = scratch
    this.#lib = serverJars()
    const classes = join(scratch, 'classes')
    mkdirSync(classes)
    run('javac', ['-nowarn', '-encoding', 'UTF-8', '-cp', this.#lib, '-d', classes, join(here, 'Several.java')])
    this.#lib = `${classes}:${this.#lib}`
  }

  nameServer(port) {
    const { conf, options } = this.#home('namesrv', { listenPort: port, kvConfigPath: join(this.#scratch, 'kv.json') })
    return this.#java('192m', options, 'org.apache.rocketmq.namesrv.NamesrvStartup', '-c', conf)
  }

  /** @param settings more lines of its configuration */
  broker(name, port, nameServers, settings = {}) {
    const store = join(this.#scratch, name, 'store')
    const { conf, options } = this.#home(name, {
      ...{
        brokerClusterName: 'DefaultCluster',
        brokerName: name,
        brokerId: 0,
        brokerIP1: '127.0.0.1',
        listenPort: port,
      },
      ...{ haListenPort: port + 1, namesrvAddr: nameServers.join(';'), storePathRootDir: store },
      ...{
        storePathCommitLog: join(store, 'commitlog'),
        mappedFileSizeCommitLog: 67_108_864,
        diskMaxUsedSpaceRatio: 95,
      },
      ...{ autoCreateTopicEnable: true, autoCreateSubscriptionGroup: true, ...settings },
    })
    return this.#java('384m', options, 'org.apache.rocketmq.broker.BrokerStartup', '-c', conf)
  }

  /** Producer and consumer of {@link Several.java}. */
  client(nameServer, topic, group) {
    const { options } = this.#home(`client-${group}`, {})
    return this.#java('128m', options, 'Several', nameServer, topic, group)
  }

  /** @returns what the operator tool printed */
  async mqadmin(...args) {
    const { options } = this.#home('mqadmin', {})
    const tool = this.#java('128m', options, 'org.apache.rocketmq.tools.command.MQAdminStartup', ...args)
    await until(`mqadmin ${args.join(' ')}`, () => tool.isOver)
    const printed = tool.lines.join('\n')
    if (/Exception|command failed/i.test(printed))
      throw new Error(`mqadmin ${args.join(' ')}: ${printed.slice(0, 1500)}`)
    return printed
  }

  #home(name, settings) {
    const home = join(this.#scratch, name)
    mkdirSync(join(home, 'conf'), { recursive: true })
    const conf = join(home, 'conf/server.conf')
    writeFileSync(
      conf,
      Object.entries(settings)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    )
    for (const part of ['namesrv', 'broker', 'tools']) {
      writeFileSync(join(home, `conf/logback_${part}.xml`), '<configuration><root level="WARN"/></configuration>\n')
    }
    const options = [
      ...[`-Duser.home=${home}`, `-Drocketmq.home.dir=${home}`, `-Drocketmq.log.dir=${join(home, 'logs')}`],
      ...[`-Drocketmq.client.logRoot=${join(home, 'logs')}`, '-Drocketmq.client.logLevel=WARN'],
    ]
    return { conf, options }
  }

  #java(heap, options, main, ...args) {
    const opened = ['jdk.internal.ref', 'sun.nio.ch'].flatMap((name) => [
      '--add-exports',
      `java.base/${name}=ALL-UNNAMED`,
    ])
    const reached = ['java.nio', 'sun.nio.ch', 'java.lang', 'java.util'].flatMap((name) => [
      ...['--add-opens', `java.base/${name}=ALL-UNNAMED`],
    ])
    const jvm = [`-Xmx${heap}`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:MaxDirectMemorySize=512m']
    return new Program('java', [...jvm, ...opened, ...reached, ...options, '-cp', this.#lib, main, ...args], {
      cwd: this.#scratch,
    })
  }
}

/** @returns class path of the released servers, fetched once */
export function serverJars() {
  const lib = join(cache, VERSION, 'lib')
  if (['namesrv', 'broker', 'tools'].some((name) => !existsSync(join(lib, `rocketmq-${name}-${VERSION}.jar`)))) {
    const staging = `${lib}.${process.pid}`
    mkdirSync(staging, { recursive: true })
    console.error(`Fetching Apache RocketMQ ${VERSION} …`)
    run('mvn', [
      ...['-B', '-q', '-f', join(here, 'pom.xml'), `-Drocketmq.version=${VERSION}`],
      ...['dependency:copy-dependencies', `-DoutputDirectory=${staging}`, '-DincludeScope=runtime'],
    ])
    rmSync(lib, { recursive: true, force: true })
    renameSync(staging, lib)
  }
  return join(lib, '*')
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return
  const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-15).join('\n')
  throw new Error(`${command} ${args.join(' ')} failed${error ? ` (${error.message})` : ''}\n${said}`)
}
