import { Logger } from '@nestjs/common'
import type { INestMicroservice, LoggerService, ModuleMetadata } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { startTestBroker } from '@tandemmq/testing'
import type { TestBroker, TestBrokerOptions } from '@tandemmq/testing'
import { TandemServer } from '../index.ts'
import type { TandemServerOptions } from '../index.ts'

/** A broker, and microservices of controllers on it, closed together. */
export class TransportWorld implements AsyncDisposable {
  readonly broker: TestBroker
  readonly logged: string[] = []
  private readonly open: { close(): Promise<unknown> | unknown }[] = []

  private constructor(broker: TestBroker) {
    this.broker = broker
  }

  static async start(options: TestBrokerOptions = {}): Promise<TransportWorld> {
    return new TransportWorld(await startTestBroker(options))
  }

  /** A server with a connection of its own, fast enough for tests. */
  server(options: Partial<TandemServerOptions> = {}): TandemServer {
    return new TandemServer({
      nameServers: this.broker.address,
      group: 'app',
      listeners: { startFrom: 'first', consumer: { commitIntervalMs: 5, rebalanceIntervalMs: 20 } },
      ...options,
    } as TandemServerOptions)
  }

  /** Compiles and listens. */
  async serve(
    module: ModuleMetadata,
    server = this.server(),
    prepare: (app: INestMicroservice) => void = () => {},
  ): Promise<{ app: INestMicroservice; server: TandemServer }> {
    const compiled = await Test.createTestingModule(module).setLogger(this.logger()).compile()
    const app = compiled.createNestMicroservice({ strategy: server })
    prepare(app)
    this.closing(app)
    Logger.overrideLogger(this.logger())
    await app.listen()
    return { app, server }
  }

  closing<T extends { close(): Promise<unknown> | unknown }>(one: T): T {
    this.open.push(one)
    return one
  }

  logger(): LoggerService {
    const keep = (...parts: unknown[]): void => {
      this.logged.push(parts.map((part) => (part instanceof Error ? part.message : String(part))).join(' '))
    }
    return { log: () => {}, warn: keep, error: keep, debug: () => {}, verbose: () => {} }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.open.splice(0).toReversed()) await one.close()
    await this.broker.close()
    Logger.overrideLogger(false)
  }
}
