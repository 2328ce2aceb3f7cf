import { Controller, Get, Injectable, Logger, Module } from '@nestjs/common'
import type { INestApplication } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus'
import type { HealthCheckResult } from '@nestjs/terminus'
import { OnMessage, TandemHealthIndicator, TandemModule } from '@tandemmq/nestjs'
import { TestBroker } from '@tandemmq/testing'
import { useTestBroker } from '@tandemmq/testing/nest'
import { afterEach, beforeEach, expect, test } from 'vitest'

@Controller('health')
class Health {
  constructor(
    private readonly health: HealthCheckService,
    private readonly tandem: TandemHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.tandem.isHealthy('tandem', { lagMax: 1 })])
  }
}

let hold: Promise<void> | undefined
let release = (): void => {}

@Injectable()
class Billing {
  @OnMessage({ topic: 'orders', group: 'billing' })
  async bill(): Promise<void> {
    await hold
  }
}

@Module({
  imports: [
    TerminusModule.forRoot({ logger: false }),
    TandemModule.forRoot({ nameServers: 'production:9876', group: 'app' }),
  ],
  controllers: [Health],
  providers: [Billing],
})
class AppModule {}

let app: INestApplication
let broker: TestBroker

beforeEach(async () => {
  Logger.overrideLogger(false)
  hold = undefined
  const compiled = await useTestBroker(Test.createTestingModule({ imports: [AppModule] })).compile()
  app = compiled.createNestApplication({ logger: false })
  await app.listen(0)
  broker = app.get(TestBroker)
})

afterEach(() => app?.close())

async function asked(): Promise<{ status: number; tandem: Record<string, unknown> | undefined }> {
  const response = await fetch(`${await app.getUrl()}/health`)
  const body = (await response.json()) as HealthCheckResult
  return { status: response.status, tandem: body.details['tandem'] }
}

test('terminus answers 200 with the groups while they listen, and 503 with the problem when no broker is there', async () => {
  await broker.deliver('orders', 'o-1')
  await broker.settled()
  expect(await asked()).toMatchObject({
    status: 200,
    tandem: { status: 'up', problems: [], groups: { billing: { state: 'listening', connected: true, lag: 0 } } },
  })
  await broker.close()
  await expect.poll(async () => (await asked()).status, { timeout: 10_000 }).toBe(503)
  expect((await asked()).tandem).toMatchObject({
    status: 'down',
    problems: expect.arrayContaining(['group billing has no connection to a broker']),
  })
})

test('terminus answers 503 while a group is further behind than is allowed', async () => {
  hold = new Promise((resolve) => (release = resolve))
  for (const id of ['o-1', 'o-2']) await broker.deliver('orders', id)
  await expect.poll(async () => (await asked()).status).toBe(503)
  expect((await asked()).tandem).toMatchObject({ problems: ['group billing is 2 messages behind'] })
  release()
  await broker.settled()
  expect(await asked()).toMatchObject({ status: 200, tandem: { groups: { billing: { lag: 0 } } } })
})
