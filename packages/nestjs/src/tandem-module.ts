import { ConfigurableModuleBuilder, Module } from '@nestjs/common'
import { DiscoveryModule, MetadataScanner } from '@nestjs/core'
import { ListenerDiscovery } from './listener-discovery.ts'
import { ListenerInvoker } from './listener-invoker.ts'
import type { TandemModuleOptions } from './module-options.ts'
import { TandemConnection } from './tandem-connection.ts'
import { TandemListeners } from './tandem-listeners.ts'
import { TandemTemplate } from './tandem-template.ts'
import { TandemTransports } from './tandem-transports.ts'
import { TANDEM_OPTIONS, TANDEM_OVERRIDES } from './tokens.ts'

const { ConfigurableModuleClass } = new ConfigurableModuleBuilder<TandemModuleOptions>({
  optionsInjectionToken: TANDEM_OPTIONS,
})
  .setClassMethodName('forRoot')
  .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .build()

/**
 * `TandemModule.forRoot({ nameServers, group, … })` or `forRootAsync({ inject, useFactory })`, once, in the root
 * module. Global unless `isGlobal: false`: every module may inject {@link TandemTemplate}.
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: TANDEM_OVERRIDES, useValue: {} },
    MetadataScanner,
    ListenerDiscovery,
    ListenerInvoker,
    TandemConnection,
    TandemListeners,
    TandemTemplate,
    TandemTransports,
  ],
  exports: [TANDEM_OPTIONS, TandemConnection, TandemListeners, TandemTemplate],
})
export class TandemModule extends ConfigurableModuleClass {}
