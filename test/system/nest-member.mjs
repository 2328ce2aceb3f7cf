// A Nest application in a process of its own: three groups on topic orders, one per way to consume. Usage: node nest-member.mjs
// OPTIONS, a JSON of { nameServers, log, workMsMax }. Appends "GROUP BODY" to `log` when a handler has ended; SIGTERM is Nest's.
import 'reflect-metadata'
import { openSync, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { OnMessage, TandemModule } from '@tandemmq/nestjs'

const { nameServers, log, workMsMax } = JSON.parse(process.argv[2])
const file = openSync(log, 'a')

class Work {
  async shared(_, context) {
    const body = context.getMessage().text()
    await pause(Math.random() * workMsMax)
    writeSync(file, `${context.getGroup()} ${body} ${Date.now()}\n`)
  }
}

const modes = { billing: {}, ledger: { ordered: true }, stock: { mode: 'lease' } }
for (const [group, options] of Object.entries(modes)) {
  OnMessage({ topic: 'orders', group, startFrom: 'first', payload: 'text', ...options })(Work.prototype, 'shared')
}

class App extends Object {}
Module({ imports: [TandemModule.forRoot({ nameServers, group: 'orders' })], providers: [Work] })(App)

const app = await NestFactory.createApplicationContext(App, { logger: ['warn', 'error'] })
app.enableShutdownHooks()
console.log('ready')
