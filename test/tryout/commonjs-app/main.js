// What TypeScript makes of a Nest application whose module format is CommonJS: require, and decorators as calls.
require('reflect-metadata')
const { Module } = require('@nestjs/common')
const { NestFactory } = require('@nestjs/core')
const { defineTopic, MessageListener, TandemModule, TandemTemplate } = require('@tandemmq/nestjs')
const { startTestBroker } = require('@tandemmq/testing')

const validate = (value) => (typeof value.id === 'string' ? { value } : { issues: [{ message: 'no id' }] })
const orders = defineTopic('orders', { '~standard': { version: 1, vendor: 'test', validate } })

async function main() {
  const broker = await startTestBroker()
  let heard
  const hears = new Promise((resolve) => (heard = resolve))
  class Billing {
    onMessage(order, context) {
      heard(`billing heard ${order.id} ${context.getTag()}`)
    }
  }
  MessageListener({ topic: orders, group: 'billing', startFrom: 'first' })(Billing)
  const AppModule = class {
    named = true
  }
  Module({ imports: [TandemModule.forRoot({ nameServers: broker.address, group: 'app' })], providers: [Billing] })(
    AppModule,
  )
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
  const tandem = app.get(TandemTemplate)
  await tandem.send(orders, { id: 5 }).catch(({ code }) => console.log(`refused ${code}`))
  await tandem.send(orders, { id: 'o-1' }, { tag: 'created' })
  console.log(await hears)
  await app.close()
  await broker.close()
  console.log('closed')
}

void main()
