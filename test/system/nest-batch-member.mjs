// One Nest application in a process of its own. Usage: node nest-batch-member.mjs NAME_SERVERS NAME. Group billing hears orders
// in batches and prints "got BODY" of each and "batch SIZE"; who is named in a message to topic control pauses or resumes it
// and prints "paused" or "resumed". SIGTERM closes.
import 'reflect-metadata'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { OnMessage, TandemListeners, TandemModule } from '@tandemmq/nestjs'

const [nameServers, name] = process.argv.slice(2)
let app

class Members {
  bill(bodies) {
    console.log(`batch ${bodies.length}`)
    for (const body of bodies) console.log(`got ${body}`)
  }

  async control({ who, act }) {
    if (who !== name) return
    await app.get(TandemListeners)[act]('billing')
    console.log(`${act}d`)
  }
}

function decorate(method, options) {
  const descriptor = Object.getOwnPropertyDescriptor(Members.prototype, method)
  OnMessage(options)(Members.prototype, method, descriptor)
}
decorate('bill', { topic: 'orders', group: 'billing', batch: { sizeMax: 20, waitMs: 20 }, payload: 'text' })
decorate('control', { topic: 'control', group: 'control', mode: 'broadcasting' })

class AppModule {
  title = name
}
const consumer = { rebalanceIntervalMs: 500, heartbeatIntervalMs: 1_000 }
const root = TandemModule.forRoot({ nameServers, group: 'app', listeners: { startFrom: 'first', consumer } })
Module({ imports: [root], providers: [Members] })(AppModule)
app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] })
app.enableShutdownHooks()
console.log('ready')
