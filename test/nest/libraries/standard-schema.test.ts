import { Controller, Injectable, Logger, Module, StandardSchemaValidationPipe } from '@nestjs/common'
import type { INestApplication, Type } from '@nestjs/common'
import { Payload } from '@nestjs/microservices'
import { Test } from '@nestjs/testing'
import { connectTandem, OnMessage, TandemEvent, TandemModule } from '@tandemmq/nestjs'
import type { StandardSchema } from '@tandemmq/nestjs'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { type } from 'arktype'
import * as v from 'valibot'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

interface Order {
  amount: number
  currency: string
}

const schemas: [string, StandardSchema<unknown, Order>][] = [
  ['zod', z.object({ amount: z.number(), currency: z.string().default('EUR') })],
  ['valibot', v.object({ amount: v.number(), currency: v.optional(v.string(), 'EUR') })],
  ['arktype', type({ amount: 'number', currency: "string = 'EUR'" })],
]
const heard: [string, Order][] = []

/** Nest 12's own way: the schema at the parameter, a pipe that reads it. */
function enhanced(library: string, schema: StandardSchema<unknown, Order>) {
  @Injectable()
  class Listener {
    @OnMessage({ topic: `listened-${library}`, group: `listeners-${library}` })
    hear(@Payload({ schema, pipes: [StandardSchemaValidationPipe] }) order: Order): void {
      heard.push([`listener ${library}`, order])
    }

    @OnMessage({ topic: `optioned-${library}`, group: `optioned-${library}`, schema })
    option(order: Order): void {
      heard.push([`option ${library}`, order])
    }
  }
  @Controller()
  class Handler {
    @TandemEvent(`handled-${library}`, { group: `handlers-${library}` })
    handle(@Payload({ schema, pipes: [StandardSchemaValidationPipe] }) order: Order): void {
      heard.push([`handler ${library}`, order])
    }
  }
  return { Listener, Handler }
}

let app: INestApplication
let broker: TestBroker

beforeAll(async () => {
  Logger.overrideLogger(false)
  const made = schemas.map(([library, schema]) => enhanced(library, schema))
  @Module({
    imports: [TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' })],
    providers: made.map(({ Listener }) => Listener as Type),
    controllers: made.map(({ Handler }) => Handler as Type),
  })
  class AppModule {}
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  app = compiled.createNestApplication({ logger: false })
  connectTandem(app)
  await app.init()
  await app.startAllMicroservices()
  broker = app.get(TestBroker)
})

afterAll(() => app?.close())

test.each(schemas)(
  'a payload is what a schema of %s makes of it, or a dead letter with its issues',
  async (library) => {
    const ways = ['listened', 'optioned', 'handled'].map((way) => `${way}-${library}`)
    for (const topic of ways) {
      await broker.deliver(topic, { amount: 5 })
      await broker.deliver(topic, { amount: 'much' })
    }
    await broker.settled()
    const order = { amount: 5, currency: 'EUR' }
    expect(heard.filter(([who]) => who.endsWith(library)).toSorted()).toEqual([
      [`handler ${library}`, order],
      [`listener ${library}`, order],
      [`option ${library}`, order],
    ])
    for (const group of ['listeners', 'optioned', 'handlers']) {
      const dead = broker.sent(`%DLQ%${group}-${library}`)
      expect(dead.map(({ body }) => body)).toEqual([{ amount: 'much' }])
      expect(dead[0]?.properties['DLQ_REASON']).toMatch(/amount.*number/)
    }
  },
)
