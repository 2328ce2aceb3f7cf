// A service in a process of its own that knows the topic "orders" by its schema. Usage: node typed-member.mjs NAMESERVERS
// ORDER…: with orders (JSON) it sends them and ends, without it listens. Prints "got ID CURRENCY", "sent ID" and "refused ID CODE"; SIGTERM closes.
import 'reflect-metadata'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { defineTopic, MessageListener, TandemModule, TandemTemplate } from '@tandemmq/nestjs'
import { z } from 'zod'

const [nameServers, ...sends] = process.argv.slice(2)
const schema = z.object({ id: z.string(), amount: z.number(), currency: z.string().default('EUR') })
const orders = defineTopic('orders', schema)

class Billing {
  onMessage(order) {
    console.log(`got ${order.id} ${order.currency}`)
  }
}
const listeners = sends.length > 0 ? [] : [Billing]
MessageListener({ topic: orders, group: 'billing', startFrom: 'first' })(Billing)

const consumer = { rebalanceIntervalMs: 200, heartbeatIntervalMs: 500, commitIntervalMs: 50 }
class AppModule {
  name = 'typed member'
}
const tandemModule = TandemModule.forRoot({ nameServers, group: 'shop', listeners: { consumer } })
Module({ imports: [tandemModule], providers: listeners })(AppModule)

const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
app.enableShutdownHooks()
const tandem = app.get(TandemTemplate)
console.log('ready')
for (const text of sends) {
  const order = JSON.parse(text)
  await tandem.send(orders, order).then(
    () => console.log(`sent ${order.id}`),
    ({ code }) => console.log(`refused ${order.id} ${code}`),
  )
}
if (sends.length > 0) await app.close()
