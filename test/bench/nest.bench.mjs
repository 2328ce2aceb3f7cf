// What a Nest listener costs over the bare SDK consumer: the same 1 KiB messages, the same settings, the real program in a process
// of its own. CPU is that of the consuming process, which on a busy machine says more than the rate.
import 'reflect-metadata'
import { Injectable, Module, Scope } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Producer, PushConsumer } from '../../packages/client/dist/index.js'
import { OnMessage, TandemListeners, TandemModule } from '../../packages/nestjs/dist/index.js'
import { withBroker } from './broker-program.mjs'
import { measure } from './figures.mjs'

const body = JSON.stringify({ id: 'order-1', text: 'x'.repeat(1024 - 30) })
const topic = 'nest'
const group = 'bench'

/** Runs `work` with the address of a broker that holds `count` messages and is gone afterwards. */
function withMessages(count, work) {
  return withBroker(['flush=async'], async ({ address: nameServers }) => {
    const producer = new Producer({ nameServers, group: 'filler', sendTimeoutMs: 60_000 })
    await producer.start()
    for (let sent = 0; sent < count; sent += 1_000) {
      const one = { topic, body }
      const sends = Array.from({ length: Math.min(1_000, count - sent) }, () => producer.send(one))
      await Promise.all(sends)
    }
    await producer.close()
    return work(nameServers)
  })
}

const bare = (handlerOf) => (count) =>
  withMessages(count, async (nameServers) => {
    const consumer = new PushConsumer({ nameServers, group, startFrom: 'first' })
    const all = new Promise((resolve) => consumer.subscribe(topic, '*', handlerOf(counter(count, resolve))))
    const figures = await measure(count, async () => {
      await consumer.start()
      await all
    })
    await consumer.close()
    return figures
  })

function counter(count, resolve) {
  let seen = 0
  return () => {
    if (++seen === count) resolve()
  }
}

const listener = (classOf) => (count) =>
  withMessages(count, async (nameServers) => {
    let resolveAll
    const all = new Promise((resolve) => (resolveAll = resolve))
    const root = applicationOf(classOf(counter(count, resolveAll)), nameServers)
    const app = await NestFactory.createApplicationContext(root, { logger: false })
    const figures = await measure(count, async () => {
      await app.get(TandemListeners).start()
      await all
    })
    await app.close()
    return figures
  })

function applicationOf(provider, nameServers) {
  OnMessage({ topic, group, startFrom: 'first' })(provider.prototype, 'handle')
  const App = class extends Object {}
  const listeners = { autoStart: false }
  Module({ imports: [TandemModule.forRoot({ nameServers, group: 'app', listeners })], providers: [provider] })(App)
  return App
}

const noOp = (seen) =>
  class NoOp {
    handle() {
      seen()
    }
  }
const withPayload = (seen) =>
  class WithPayload {
    async handle(payload, context) {
      if (payload.id === context.getGroup()) throw new Error('never')
      seen()
    }
  }
const requestScoped = (seen) => {
  class RequestScoped {
    handle() {
      seen()
    }
  }
  Injectable({ scope: Scope.REQUEST })(RequestScoped)
  return RequestScoped
}

export const benchmarks = [
  { name: 'nest: bare SDK consumer', messages: { smoke: 500, full: 300_000 }, run: bare((seen) => () => seen()) },
  { name: 'nest: no-op listener', messages: { smoke: 500, full: 300_000 }, run: listener(noOp) },
  {
    name: 'nest: bare SDK consumer, async, JSON read',
    messages: { smoke: 500, full: 300_000 },
    run: bare((seen) => async (message) => message.json().id === 'never' || seen()),
  },
  { name: 'nest: async listener, JSON payload', messages: { smoke: 500, full: 300_000 }, run: listener(withPayload) },
  { name: 'nest: request-scoped listener', messages: { smoke: 500, full: 50_000 }, run: listener(requestScoped) },
]
