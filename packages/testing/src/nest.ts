import { Module } from '@nestjs/common'
import type { DynamicModule, Type } from '@nestjs/common'
import type { TestingModuleBuilder } from '@nestjs/testing'
import { TANDEM_OVERRIDES, TandemConnections } from '@tandemmq/nestjs'
import type { TandemModuleOptions, TandemOverrides } from '@tandemmq/nestjs'
import { startTestBroker, TestBroker } from './test-broker.ts'
import type { TestBrokerOptions } from './test-broker.ts'

/** Options of {@link useTestBroker}: those of the broker it starts, and two more. */
export interface UseTestBrokerOptions extends TestBrokerOptions {
  /** Use this one, which stays open, instead of starting one. */
  broker?: TestBroker
  /** Merged over the options of the application's TandemModule; `nameServers` is the test broker in any case. */
  module?: Partial<TandemModuleOptions>
}

@Module({})
class TestBrokerModule {}

function moduleOf(broker: TestBroker): DynamicModule {
  const provider = { provide: TestBroker, useValue: broker }
  return { module: TestBrokerModule, global: true, providers: [provider], exports: [TestBroker] }
}

/**
 * Has the application under test use a broker in this process. Everything else of its `TandemModule` options stays,
 * except that positions are committed and topics found at once instead of after seconds. The broker starts with
 * `compile()`, ends with the application, and is `module.get(TestBroker)`.
 *
 * `compile()` throws when no `TandemModule` is imported: the real broker would be used, silently.
 */
export function useTestBroker(builder: TestingModuleBuilder, options: UseTestBrokerOptions = {}): TestingModuleBuilder {
  const { broker: given, module: over, ...settings } = options
  const compile = builder.compile.bind(builder)
  builder.compile = async (...compileOptions) => {
    const broker = given ?? (await startTestBroker(settings))
    const close = async (): Promise<void> => {
      if (given === undefined) await broker.close()
    }
    try {
      addImport(builder, moduleOf(broker))
      builder.overrideProvider(TANDEM_OVERRIDES).useValue(overrides(broker, over, close))
      const module = await compile(...compileOptions)
      module.get(TandemConnections, { strict: false })
      return module
    } catch (error) {
      await close()
      throw error
    }
  }
  return builder
}

function overrides(
  broker: TestBroker,
  over: Partial<TandemModuleOptions> = {},
  closed: () => Promise<void>,
): TandemOverrides {
  const listeners = {
    startFrom: 'first' as const,
    ...over.listeners,
    consumer: { commitIntervalMs: 5, rebalanceIntervalMs: 20, ...over.listeners?.consumer },
  }
  return { options: { ...over, listeners, nameServers: broker.address }, closed }
}

/** The builder has no way to add a module, so the root it made gets one more import. */
function addImport(builder: TestingModuleBuilder, module: DynamicModule): void {
  const { module: root } = builder as unknown as { module?: Type<unknown> }
  if (root === undefined) throw new Error('this version of @nestjs/testing keeps its root module elsewhere')
  Reflect.defineMetadata('imports', [...(Reflect.getMetadata('imports', root) ?? []), module], root)
}
