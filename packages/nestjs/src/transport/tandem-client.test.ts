import { BadRequestException, Controller, Injectable, UsePipes } from '@nestjs/common'
import { Ctx, Payload, RpcException } from '@nestjs/microservices'
import { Producer } from '@tandemmq/client'
import { EMPTY, lastValueFrom, of, throwError, toArray } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  ReconsumeLater,
  RejectMessage,
  TandemClient,
  TandemContext,
  TandemEvent,
  TandemRecord,
  TandemRequest,
} from '../index.ts'
import type { TandemClientOptions, TandemConnection } from '../index.ts'
import { TransportWorld } from './transport-test-kit.ts'

let act: (data: { sku: string }) => unknown = () => undefined
const heard: unknown[][] = []

@Controller()
class Levels {
  @TandemRequest('stock.level', { group: 'levels', attemptsMax: 2 })
  @UsePipes({
    transform(value: unknown, { type }) {
      if (type === 'body' && (value as { sku?: unknown }).sku === undefined) throw new BadRequestException('no sku')
      return value
    },
  })
  level(@Payload() data: { sku: string }, @Ctx() context: TandemContext): unknown {
    heard.push(['level', data, context.getMetadata()['trace']])
    return act(data)
  }

  @TandemEvent('orders', { group: 'stock', tags: ['created'] })
  order(@Payload() data: unknown, @Ctx() context: TandemContext): void {
    heard.push(['order', data, context.getKeys(), context.getMetadata()['region']])
  }
}

let world: TransportWorld
let client: TandemClient
beforeEach(async () => {
  heard.length = 0
  act = () => undefined
  world = await TransportWorld.start()
  client = clientOf()
})
afterEach(() => world[Symbol.asyncDispose]())

function clientOf(options: Partial<TandemClientOptions> = {}): TandemClient {
  return world.closing(new TandemClient({ nameServers: world.broker.address, group: 'shop', ...options } as never))
}
const ask = (data: unknown = { sku: 'a' }): Promise<unknown[]> =>
  lastValueFrom(client.send('stock.level', data).pipe(toArray()))

test('send yields what the handler emits, as with the transports of Nest', async () => {
  await world.serve({ controllers: [Levels] })
  act = () => ({ level: 7, data: 'kept', response: 'kept too' })
  expect(await ask()).toEqual([{ level: 7, data: 'kept', response: 'kept too' }])
  act = () => of(1, 2, 3)
  expect(await ask()).toEqual([1, 2, 3])
  act = () => EMPTY
  expect(await ask()).toEqual([])
  act = async () => undefined
  expect(await ask()).toEqual([null])
})

test('a failed request reaches the asker as Nest shapes it, and is not tried again', async () => {
  await world.serve({ controllers: [Levels] })
  act = () => throwError(() => new RpcException({ code: 'NONE', sku: 'a' }))
  await expect(ask()).rejects.toEqual({ code: 'NONE', sku: 'a' })
  act = () => {
    throw new Error('secret detail')
  }
  await expect(ask()).rejects.toEqual({ status: 'error', message: 'Internal server error' })
  act = () => {
    throw new RpcException('sold out')
  }
  await expect(ask()).rejects.toEqual({ status: 'error', message: 'sold out' })
  await world.broker.settled()
  expect(heard).toHaveLength(3)
  expect(world.broker.sent('%RETRY%levels')).toEqual([])
  expect(world.logged).toContainEqual(
    expect.stringMatching(/Levels\.level: request \w+ to stock\.level.*secret detail/),
  )
})

test('a request whose payload is refused is answered, and kept as a dead letter', async () => {
  await world.serve({ controllers: [Levels] })
  await expect(ask({ other: 1 })).rejects.toMatchObject({ status: 'error' })
  act = () => {
    throw new RejectMessage('never')
  }
  await expect(ask()).rejects.toEqual({ status: 'error', message: 'never' })
  await world.broker.settled()
  expect(world.broker.sent('%DLQ%levels').map(({ properties }) => properties['DLQ_REASON'])).toEqual([
    expect.stringContaining('payload refused: no sku'),
    expect.stringContaining('never'),
  ])
})

test('a handler that asks for more time is given it, and the asker gets the later answer', async () => {
  await world.serve({ controllers: [Levels] })
  act = () => {
    if (heard.length < 2) throw new ReconsumeLater({ delayMs: 50 })
    return 'at last'
  }
  client = clientOf({ requestTimeoutMs: 20_000 })
  expect(await ask()).toEqual(['at last'])
})

test('an asker that is no TandemClient gets the last value as plain JSON, and a failure is retried as any other', async () => {
  await world.serve({ controllers: [Levels] })
  const producer = world.closing(new Producer({ nameServers: world.broker.address, group: 'java' }))
  await producer.start()
  act = () => of(1, { level: 2 })
  expect((await producer.request({ topic: 'stock.level', body: { sku: 'a' } })).json()).toEqual({ level: 2 })
})

test('a reply of somebody else is taken as the value it is', async () => {
  @Controller()
  class None {}
  await world.serve({ controllers: [None] })
  const { PushConsumer } = await import('@tandemmq/client')
  const producer = world.closing(new Producer({ nameServers: world.broker.address, group: 'java' }))
  await producer.start()
  const consumer = world.closing(
    new PushConsumer({ nameServers: world.broker.address, group: 'java', startFrom: 'first', rebalanceIntervalMs: 20 }),
  )
  consumer.subscribe('stock.level', '*', async (message) => producer.reply(message, { level: 9 }))
  await consumer.start()
  client = clientOf({ requestTimeoutMs: 20_000 })
  expect(await ask()).toEqual([{ level: 9 }])
})

test('emit sends plain JSON and resolves to the receipt; a record adds tag, keys and user properties', async () => {
  await world.serve({ controllers: [Levels] })
  const record = new TandemRecord({ pattern: 'x', data: 'mine' }, { keys: ['o-1'], properties: { region: 'eu' } })
  const receipt = await lastValueFrom(client.emit('orders:created', record))
  expect(receipt).toMatchObject({ messageId: expect.any(String) })
  await world.broker.settled()
  expect(world.broker.sent('orders')).toMatchObject([{ body: { pattern: 'x', data: 'mine' }, tag: 'created' }])
  expect(heard).toEqual([['order', { pattern: 'x', data: 'mine' }, ['o-1'], 'eu']])
})

test('metadata of a packet travels as user properties and arrives in getMetadata', async () => {
  await world.serve({ controllers: [Levels] })
  const publish = (client as unknown as { publish(packet: object, callback: (packet: unknown) => void): () => void })
    .publish
  await new Promise((resolve) =>
    publish.call(client, { pattern: 'stock.level', data: { sku: 'a' }, metadata: { trace: 't-1' } }, resolve),
  )
  expect(heard).toEqual([['level', { sku: 'a' }, 't-1']])
})

test('a failed connect is not remembered, and callers at one time share the attempt', async () => {
  let attempts = 0
  const producer = { send: async () => ({ messageId: 'M1' }) } as unknown as Producer
  const connection = {
    producer: async () => {
      attempts++
      if (attempts === 1) throw new Error('no broker yet')
      return producer
    },
  } as unknown as TandemConnection
  const shared = new TandemClient({ connection })
  const states: string[] = []
  shared.status.subscribe((state) => states.push(state))
  await expect(lastValueFrom(shared.emit('orders', 'x'))).rejects.toThrow('no broker yet')
  expect(await lastValueFrom(shared.emit('orders', 'x'))).toEqual({ messageId: 'M1' })
  expect(states).toEqual(['disconnected', 'connected'])
  const own = await Promise.all([client.connect(), client.connect()])
  expect(own[0]).toBe(own[1])
})

test('close fails what still waits for a reply, and the client can be used again', async () => {
  client = clientOf({ requestTimeoutMs: 60_000 })
  await client.connect()
  const waiting = ask()
  const outcome = expect(waiting).rejects.toMatchObject({ code: 'CLOSED' })
  while ((client as unknown as { routingMap: Map<string, unknown> }).routingMap.size === 0) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  await client.close()
  await outcome
  await world.serve({ controllers: [Levels] })
  act = () => 'again'
  expect(await ask()).toEqual(['again'])
})

test('nobody replying is REQUEST_TIMEOUT, and who stops waiting leaves nothing behind', async () => {
  client = clientOf({ requestTimeoutMs: 50 })
  await expect(ask()).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  const subscription = client.send('stock.level', { sku: 'a' }).subscribe()
  const { routingMap } = client as unknown as { routingMap: Map<string, unknown> }
  while (routingMap.size === 0) await new Promise((resolve) => setImmediate(resolve))
  subscription.unsubscribe()
  expect(routingMap.size).toBe(0)
})

test('an event nobody subscribed to that fails is logged, one that somebody watches is his', async () => {
  @Injectable()
  class Nothing {}
  await world.serve({ providers: [Nothing] })
  client.emit('no topic!', 'x')
  await expect(lastValueFrom(client.emit('no topic?', 'x'))).rejects.toMatchObject({ code: 'TOPIC_NAME_INVALID' })
  await new Promise((resolve) => setImmediate(resolve))
  const lines = world.logged.filter((line) => line.includes('was not sent'))
  expect(lines).toEqual([expect.stringMatching(/event no topic! was not sent/)])
})
