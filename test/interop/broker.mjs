// One broker process, as an operator starts it.
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../packages/cli/bin/tandem.js', import.meta.url))
const FIRST_PORT = 21_000
const READY_MS = 30_000

async function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function freePort() {
  for (let port = FIRST_PORT; port < FIRST_PORT + 1000; port++) if (await isFree(port)) return port
  throw new Error(`no port from ${FIRST_PORT} on is free`)
}

export class Broker {
  #process
  #folder
  port
  log = []

  static async start(scratch) {
    const broker = new Broker()
    broker.#folder = join(scratch, 'data')
    broker.port = await freePort()
    await broker.#up()
    return broker
  }

  get address() {
    return `127.0.0.1:${this.port}`
  }

  async #up() {
    const args = ['up', '--host', '127.0.0.1', '--port', String(this.port), '--data-dir', this.#folder]
    this.#process = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    createInterface({ input: this.#process.stderr }).on('line', (line) => this.log.push(line))
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the broker was not ready in ${READY_MS} ms`)), READY_MS)
      createInterface({ input: this.#process.stdout }).on('line', (line) => {
        this.log.push(line)
        if (!line.includes('ready on')) return
        clearTimeout(timer)
        resolve()
      })
      this.#process.once('exit', (code) => {
        clearTimeout(timer)
        reject(new Error(`the broker ended with ${code}: ${this.log.slice(-5).join(' | ')}`))
      })
    })
  }

  /** As an operator does, for clients that cannot. */
  async createTopic(name) {
    const args = [program, 'topics', 'create', name, '--queues', '4', '--name-server', this.address]
    const child = spawn(process.execPath, args, { stdio: 'ignore' })
    const code = await new Promise((resolve) => child.once('close', resolve))
    if (code !== 0) throw new Error(`tandem topics create ${name} ended with ${code}`)
  }

  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    await ended
  }

  /** Same port, same data: what clients see of a deployment. */
  async restart() {
    await this.stop()
    await this.#up()
  }
}
