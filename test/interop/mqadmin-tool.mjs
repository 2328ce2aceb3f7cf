// Apache's own operator tool, each command in a process of its own, as an operator runs it.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const COMMAND_MS = 60_000
const MEMBER_MS = 60_000

/** A producer of eight messages and a consumer of them that stay connected while the tool looks at them. */
export class Member {
  #child
  #ready
  constructor(java, nameServer, topic, group) {
    this.#child = spawn('java', [...java, 'Idle', nameServer, topic, group], { stdio: ['pipe', 'pipe', 'ignore'] })
    this.#ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the consumer was not ready in ${MEMBER_MS} ms`)), MEMBER_MS)
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        if (line !== 'READY') return
        clearTimeout(timer)
        resolve()
      })
      this.#child.once('close', (code) => reject(new Error(`the consumer ended with ${code}`)))
    })
  }

  ready() {
    return this.#ready
  }

  async stop() {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.stdin.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(timer)
  }
}

export class Tool {
  #java
  #nameServer
  #folder
  /** @param folder some commands leave files in their working folder */
  constructor(java, nameServer, folder) {
    this.#java = java
    this.#nameServer = nameServer
    this.#folder = folder
  }

  /** @returns what the command printed; it throws when the tool reports an error, whose exit code is 0 all the same */
  run(...args) {
    const env = { ...process.env, NAMESRV_ADDR: this.#nameServer }
    const main = 'org.apache.rocketmq.tools.command.MQAdminStartup'
    const child = spawn('java', [...this.#java, main, ...args], {
      cwd: this.#folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let printed = ''
    child.stdout.on('data', (bytes) => (printed += bytes))
    child.stderr.on('data', (bytes) => (printed += bytes))
    const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS)
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        clearTimeout(timer)
        // How the tool's logging starts up is of no interest.
        printed = printed.replaceAll(/^.*\|-(INFO|WARN) in .*\r?\n?/gm, '')
        if (code === 0 && !/Exception|command failed/i.test(printed)) resolve(printed)
        else reject(new Error(`mqadmin ${args.join(' ')} (${code}): ${printed.trim().slice(0, 1500)}`))
      })
    })
  }
}
