import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// Circular imports pass under vitest and throw in built ESM, so what npm installs is run once by itself.
const folder = fileURLToPath(new URL('..', import.meta.url))

// The projects of other Nests (vitest.config.ts) run the same built files on theirs.
const redirect = new URL('../../../test/nest/redirect.mjs', import.meta.url).href

function run(type: 'module' | 'commonjs', script: string): { status: number | null; out: string; err: string } {
  const argv = [`--input-type=${type}`, '--disable-warning=ExperimentalWarning', '--import', redirect, '--eval', script]
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 25_000,
  })
  return { status, out: stdout, err: stderr }
}

test('the built package runs a listener in an application without decorator metadata', () => {
  const script = `
    import 'reflect-metadata'
    import { Module } from '@nestjs/common'
    import { NestFactory } from '@nestjs/core'
    import { MessageListener, TandemModule, TandemTemplate } from '@tandemmq/nestjs'
    import { startTestBroker } from '@tandemmq/testing'
    const broker = await startTestBroker()
    await broker.deliver('orders', { id: 'o-1' })
    let heard
    const hears = new Promise((resolve) => (heard = resolve))
    class Billing { onMessage(order, context) { heard([order.id, context.getTopic(), context.getGroup()].join(' ')) } }
    MessageListener({ topic: 'orders', group: 'billing', startFrom: 'first' })(Billing)
    class AppModule {}
    Module({ imports: [TandemModule.forRoot({ nameServers: broker.address, group: 'app' })], providers: [Billing] })(AppModule)
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
    console.log(await hears)
    console.log(typeof (await app.get(TandemTemplate).send({ topic: 'orders', body: 'x' })).messageId)
    await app.close()
    await broker.close()
  `
  expect(run('module', script)).toEqual({ status: 0, out: 'o-1 orders billing\nstring\n', err: '' })
})

test('the built transport answers between two applications without decorator metadata', () => {
  const script = `
    import 'reflect-metadata'
    import { Controller, Module } from '@nestjs/common'
    import { NestFactory } from '@nestjs/core'
    import { Server } from '@nestjs/microservices'
    import { TandemClient, TandemModule, TandemRequest, tandemStrategy } from '@tandemmq/nestjs'
    import { startTestBroker } from '@tandemmq/testing'
    import { firstValueFrom } from 'rxjs'
    const broker = await startTestBroker()
    class Levels { level(data) { return { sku: data.sku, level: 7 } } }
    const descriptor = Object.getOwnPropertyDescriptor(Levels.prototype, 'level')
    TandemRequest('stock.level', { group: 'levels', startFrom: 'first' })(Levels.prototype, 'level', descriptor)
    Object.defineProperty(Levels.prototype, 'level', descriptor)
    Controller()(Levels)
    class AppModule {}
    Module({ imports: [TandemModule.forRoot({ nameServers: broker.address, group: 'app' })], controllers: [Levels] })(AppModule)
    const app = await NestFactory.createMicroservice(AppModule, { ...tandemStrategy(), logger: false })
    await app.listen()
    const client = new TandemClient({ nameServers: broker.address, group: 'shop', requestTimeoutMs: 20_000 })
    console.log(JSON.stringify(await firstValueFrom(client.send('stock.level', { sku: 'a' }))), 'handleRequest' in Server.prototype)
    await client.close()
    await app.close()
    await broker.close()
  `
  const isTwelve = process.env['TANDEM_NEST'] === undefined
  expect(run('module', script)).toEqual({ status: 0, out: `{"sku":"a","level":7} ${isTwelve}\n`, err: '' })
})

test('the built package can be required from CommonJS', () => {
  const script = `const { TandemModule } = require('@tandemmq/nestjs'); console.log(typeof TandemModule.forRoot)`
  expect(run('commonjs', script)).toEqual({ status: 0, out: 'function\n', err: '' })
})
