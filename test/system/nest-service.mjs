// A Nest microservice in a process of its own, from the built packages and without a compiler. Usage: node nest-service.mjs
// '{"nameServers":…,"group":…}'. Prints `begin ID` and `end ID` of each order it handles in `group`, and answers `stock.level`.
// TANDEM_NEST and test/nest/redirect.mjs have it run on another Nest.
import 'reflect-metadata'
import { setTimeout as pause } from 'node:timers/promises'
import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Ctx, Payload, RpcException, Server } from '@nestjs/microservices'
import { TandemEvent, TandemModule, TandemRequest, tandemStrategy } from '@tandemmq/nestjs'

const { nameServers, group, handlerMs = 5 } = JSON.parse(process.argv[2])

class Orders {
  async created(order, context) {
    console.log(`begin ${order.id}`)
    await pause(handlerMs)
    if (order.failsOnce && context.getReconsumeTimes() === 0) throw new Error('once')
    console.log(`end ${order.id}`)
  }

  level(sku) {
    if (sku === 'none') throw new RpcException({ code: 'UNKNOWN_SKU', sku })
    return { sku, level: 7, group, pid: process.pid }
  }
}

function decorate(method, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(Orders.prototype, method)
  for (const decorator of decorators) decorator(Orders.prototype, method, descriptor)
  Object.defineProperty(Orders.prototype, method, descriptor)
}
decorate('created', TandemEvent('orders', { group, tags: ['created'], startFrom: 'first' }))
decorate('level', TandemRequest('stock.level', { group: `${group}-levels`, startFrom: 'first' }))
Payload()(Orders.prototype, 'created', 0)
Ctx()(Orders.prototype, 'created', 1)
Payload('sku')(Orders.prototype, 'level', 0)
Controller()(Orders)

function Service() {}
Module({ imports: [TandemModule.forRoot({ nameServers, group })], controllers: [Orders] })(Service)

const app = await NestFactory.createMicroservice(Service, { ...tandemStrategy(), logger: ['error', 'warn'] })
app.enableShutdownHooks()
await app.listen()
console.log(`ready ${'handleRequest' in Server.prototype ? 'nest 12' : 'nest 11'}`)
