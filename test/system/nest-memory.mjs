// Heap of a Nest application while messages pass through a request-scoped listener: flat, however many there were.
// Usage: node --expose-gc test/system/nest-memory.mjs [--messages 1000000]; prints the heap after each tenth, last line JSON.
import 'reflect-metadata'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Injectable, Module, Scope } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Producer } from '@tandemmq/client'
import { OnMessage, TandemModule } from '@tandemmq/nestjs'

const { values } = parseArgs({ options: { messages: { type: 'string', default: '1000000' } } })
const messages = Number(values.messages)
const tenth = messages / 10
const tandem = fileURLToPath(new URL('../../packages/cli/bin/tandem.js', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'tandemmq-memory-'))
const program = spawn(process.execPath, [tandem, 'up', '--port', '0', '--data-dir', directory, '--set', 'flush=async'])
let seen = 0
let whenSeen = () => {}

class PerMessage {
  handle() {
    if (++seen % tenth === 0) whenSeen()
  }
}
Injectable({ scope: Scope.REQUEST })(PerMessage)
OnMessage({ topic: 'orders', group: 'memory', startFrom: 'first' })(PerMessage.prototype, 'handle')

try {
  const [line] = await once(program.stdout, 'data')
  const nameServers = /ready on (\S+)/.exec(String(line))[1]
  class App extends Object {}
  Module({ imports: [TandemModule.forRoot({ nameServers, group: 'app' })], providers: [PerMessage] })(App)
  const app = await NestFactory.createApplicationContext(App, { logger: ['error'] })
  const producer = new Producer({ nameServers, group: 'filler', sendTimeoutMs: 60_000 })
  await producer.start()
  const heapMiB = []
  for (let part = 0; part < 10; part++) {
    const done = new Promise((resolve) => (whenSeen = resolve))
    for (let sent = 0; sent < tenth; sent += 500) {
      const count = Math.min(500, tenth - sent)
      await Promise.all(Array.from({ length: count }, () => producer.send({ topic: 'orders', body: '{"id":"o-1"}' })))
    }
    await done
    // Finalizers run after a turn; what they free is gone with the second collection.
    globalThis.gc()
    await new Promise((resolve) => setImmediate(resolve))
    globalThis.gc()
    heapMiB.push(Number((process.memoryUsage().heapUsed / 1_048_576).toFixed(2)))
  }
  await producer.close()
  await app.close()
  console.log(JSON.stringify({ messages, heapMiB }))
} finally {
  program.kill('SIGTERM')
  await once(program, 'exit')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
