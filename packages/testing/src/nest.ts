import { Module } from '@nestjs/common'
import type { DynamicModule, Type } from '@nestjs/common'
import type { TestingModuleBuilder } from '@nestjs/testing'
import { TANDEM_OVERRIDES, TandemConnections } from '@tandemmq/nestjs'
import type { TandemModuleOptions, TandemOverrides } from '@tandemmq/nestjs'
import { startTestBroker, TestBroker } from './test-broker.ts'
import type { TestBrokerOptions } from './test-broker.ts'

/** Options of {@link useTestBroker}: those of the broker it starts, and three more. */
export interface UseTestBrokerOptions extends TestBrokerOptions {
  /** The connection of that name (`TandemModule.forRoot({ name })`) gets a broker of its own. Default: every other one. */
  name?: string
  /** Use this one, which stays open, instead of starting one. */
  broker?: TestBroker
  /** Merged over the options of the connection's TandemModule; `nameServers` is the test broker in any case. */
  module?: Partial<TandemModuleOptions>
}

@Module({})
class TestBrokerModule {}

/** Token of the broker of a named connection: `module.get(testBrokerToken('audit'))`; without a name `TestBroker` itself. */
export function testBrokerToken(name?: string): symbol | typeof TestBroker {
  return name === undefined ? TestBroker : Symbol.for(`tandemmq.testing.broker.${name}`)
}

/** What the calls for one builder ask for, by connection; undefined: all that no call names. */
type Asked = Map<string | undefined, UseTestBrokerOptions>

const askedOf = new WeakMap<TestingModuleBuilder, Asked>()

/**
 * Has the application under test use a broker in this process. Everything else of its `TandemModule` options stays,
 * except that positions are committed and topics found at once instead of after seconds. The broker starts with
 * `compile()`, ends with the application, and is `module.get(TestBroker)`.
 *
 * Without a name all connections use it. `useTestBroker(builder, 'audit')`, as well or alone, gives one connection a broker
 * of its own, which is `module.get(testBrokerToken('audit'))`.
 *
 * `compile()` throws when no `TandemModule` (of that name) is imported: the real broker would be used, silently.
 * @param options a connection's name, or options
 */
export function useTestBroker(
  builder: TestingModuleBuilder,
  options: string | UseTestBrokerOptions = {},
): TestingModuleBuilder {
  const given = typeof options === 'string' ? { name: options } : options
  const known = askedOf.get(builder)
  if (known !== undefined) {
    known.set(given.name, given)
    return builder
  }
  const asked: Asked = new Map([[given.name, given]])
  askedOf.set(builder, asked)
  const compile = builder.compile.bind(builder)
  builder.compile = async (...compileOptions) => {
    const brokers = new Brokers()
    try {
      await brokers.start(asked)
      addImport(builder, brokers.module())
      builder.overrideProvider(TANDEM_OVERRIDES).useValue(brokers.overrides(asked))
      const module = await compile(...compileOptions)
      const connections = module.get(TandemConnections, { strict: false })
      for (const name of asked.keys()) if (name !== undefined) connections.get(name)
      return module
    } catch (error) {
      await brokers.close()
      throw error
    }
  }
  return builder
}

/** The brokers of one application. */
class Brokers {
  readonly #byName = new Map<string | undefined, TestBroker>()
  readonly #own: TestBroker[] = []

  async start(asked: Asked): Promise<void> {
    for (const [name, options] of asked) {
      const { broker: given, module: _module, name: _name, ...settings } = options
      const broker = given ?? (await startTestBroker(settings))
      if (given === undefined) this.#own.push(broker)
      this.#byName.set(name, broker)
    }
  }

  module(): DynamicModule {
    const providers = [...this.#byName].map(([name, broker]) => ({ provide: testBrokerToken(name), useValue: broker }))
    const exports = providers.map(({ provide }) => provide)
    return { module: TestBrokerModule, global: true, providers, exports }
  }

  overrides(asked: Asked): TandemOverrides {
    const connections: Record<string, Partial<TandemModuleOptions>> = {}
    let options: Partial<TandemModuleOptions> = {}
    for (const [name, broker] of this.#byName) {
      const over = optionsFor(broker, asked.get(name)?.module)
      if (name === undefined) options = over
      else connections[name] = over
    }
    return { options, connections, closed: () => this.close() }
  }

  async close(): Promise<void> {
    await Promise.all(this.#own.map((broker) => broker.close()))
  }
}

function optionsFor(broker: TestBroker, over: Partial<TandemModuleOptions> = {}): Partial<TandemModuleOptions> {
  const listeners = {
    startFrom: 'first' as const,
    ...over.listeners,
    consumer: { commitIntervalMs: 5, rebalanceIntervalMs: 20, ...over.listeners?.consumer },
  }
  return { ...over, listeners, nameServers: broker.address }
}

/** The builder has no way to add a module, so the root it made gets one more import. */
function addImport(builder: TestingModuleBuilder, module: DynamicModule): void {
  const { module: root } = builder as unknown as { module?: Type<unknown> }
  if (root === undefined) throw new Error('this version of @nestjs/testing keeps its root module elsewhere')
  Reflect.defineMetadata('imports', [...(Reflect.getMetadata('imports', root) ?? []), module], root)
}
