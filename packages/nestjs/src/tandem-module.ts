import { ConfigurableModuleBuilder, Module } from '@nestjs/common'
import type { DynamicModule, FactoryProvider, Provider } from '@nestjs/common'
import { TandemConnection } from './connection/tandem-connection.ts'
import { TandemConnections } from './connection/tandem-connections.ts'
import { tandemConnectionToken, tandemProducerToken, tandemToken } from './inject.ts'
import type { TandemModuleOptions } from './module-options.ts'
import { TandemProducer } from './sending/tandem-producer.ts'
import type { ProducerDefinition } from './sending/tandem-producer.ts'
import { TandemTemplate } from './sending/tandem-template.ts'
import { TandemCoreModule } from './tandem-core.module.ts'
import { DEFAULT_CONNECTION, TANDEM_OPTIONS, tandemOptionsToken } from './tokens.ts'
import { TransactionListeners } from './transaction/transaction-listeners.ts'

/** What `forRoot` and `forRootAsync` take besides the options. */
export interface TandemModuleExtras {
  /** Name of the connection, for `@InjectTandem(name)` and `connection: name` of a listener. Default `default`. */
  name?: string
  /** False: only modules that import this one may inject its template. Default true. */
  isGlobal?: boolean
}

export interface TandemFeatureOptions {
  producers: readonly ProducerDefinition[]
  /** Connection of the producers. Default: the one without a name. */
  connection?: string
}

const extras: TandemModuleExtras = { isGlobal: true, name: DEFAULT_CONNECTION }

const { ConfigurableModuleClass } = new ConfigurableModuleBuilder<TandemModuleOptions>({
  optionsInjectionToken: TANDEM_OPTIONS,
})
  .setClassMethodName('forRoot')
  .setExtras(extras, connectionModule)
  .build()

/** The module of one connection: its options under a token of their own, its connection and template. */
function connectionModule(definition: DynamicModule, { isGlobal = true, name }: TandemModuleExtras): DynamicModule {
  const connection = name ?? DEFAULT_CONNECTION
  const options = tandemOptionsToken(connection)
  const given = (definition.providers ?? []).map((provider): Provider => {
    const isOptions = typeof provider === 'object' && provider.provide === TANDEM_OPTIONS
    return isOptions ? { ...provider, provide: options } : provider
  })
  const [connectionToken, templateToken] = [tandemConnectionToken(connection), tandemToken(connection)]
  const made: Provider[] = [
    {
      provide: connectionToken,
      useFactory: (settings: TandemModuleOptions, host: TandemConnections) =>
        new TandemConnection(settings, host, connection),
      inject: [options, TandemConnections],
    },
    {
      provide: templateToken,
      useFactory: (through: TandemConnection) => new TandemTemplate(through),
      inject: [connectionToken],
    },
  ]
  const exports = [options, connectionToken, templateToken]
  return { ...definition, global: isGlobal, providers: [...given, ...made], exports }
}

@Module({ imports: [TandemCoreModule] })
class TandemFeatureModule {}

/**
 * `TandemModule.forRoot({ nameServers, group, … })` or `forRootAsync({ inject, useFactory })` in the root module, once for
 * each cluster: all but one with a `name`. Global unless `isGlobal: false`: every module may inject {@link TandemTemplate}.
 */
@Module({ imports: [TandemCoreModule] })
export class TandemModule extends ConfigurableModuleClass {
  /** Producers with names and groups of their own, for the providers of the module that imports this: `@InjectProducer(name)`. */
  static forFeature({ producers, connection = DEFAULT_CONNECTION }: TandemFeatureOptions): DynamicModule {
    const providers = producers.map(
      (definition): FactoryProvider => ({
        provide: tandemProducerToken(definition.name, connection),
        useFactory: (connections: TandemConnections, listeners: TransactionListeners) =>
          new TandemProducer(definition, connection, connections, listeners),
        inject: [TandemConnections, TransactionListeners],
      }),
    )
    return { module: TandemFeatureModule, providers, exports: providers.map(({ provide }) => provide) }
  }
}
