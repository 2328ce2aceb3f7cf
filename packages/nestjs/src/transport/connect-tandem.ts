import type { INestApplication, INestMicroservice, InjectionToken, Type } from '@nestjs/common'
import type { AsyncMicroserviceOptions, MicroserviceOptions } from '@nestjs/microservices'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { tandemConnectionToken } from '../inject.ts'
import { ListenerDiscovery } from '../listeners/listener-discovery.ts'
import { TandemListeners } from '../listeners/tandem-listeners.ts'
import { DEFAULT_CONNECTION } from '../tokens.ts'
import { TandemServer } from './tandem-server.ts'
import type { TandemServerOptions } from './tandem-server.ts'
import { TandemTransports } from './tandem-transports.ts'

/** Which connection of the application carries its controllers' handlers, and how. */
export interface TandemStrategyOptions extends Pick<TandemServerOptions, 'defaultGroup' | 'name' | 'deserializer'> {
  /** Provider of the connection. Default: that of `TandemModule.forRoot({ name })`, without a `name` the unnamed one. */
  token?: InjectionToken<TandemConnection>
}

export interface ConnectTandemOptions extends TandemStrategyOptions {
  /** Global guards, pipes, interceptors and filters of the application apply to handlers too. Default true. */
  inheritAppConfig?: boolean
  /** Lets enhancers be added to the returned microservice; it must then be started before the application listens. Default false. */
  deferInitialization?: boolean
}

/**
 * Adds the transport to an application with `TandemModule`. `app.startAllMicroservices()` starts it; messages come once the
 * providers are initialised, whichever of the two is called first.
 * @throws {TandemError} LISTENER_INVALID when handlers contradict each other or the connection has a transport already
 */
export function connectTandem(app: INestApplication, options: ConnectTandemOptions = {}): INestMicroservice {
  const { inheritAppConfig = true, deferInitialization = false } = options
  const connection = app.get(tokenOf(options), { strict: false })
  const strategy = serverOf(
    connection,
    app.get(TandemTransports, { strict: false }),
    app.get(ListenerDiscovery, { strict: false }),
    options,
  )
  return app.connectMicroservice<MicroserviceOptions>({ strategy }, { inheritAppConfig, deferInitialization })
}

/** For an application that is nothing but a microservice: `NestFactory.createMicroservice(AppModule, tandemStrategy())`. */
export function tandemStrategy(options: TandemStrategyOptions = {}): AsyncMicroserviceOptions {
  return {
    inject: [tokenOf(options), TandemTransports, ListenerDiscovery, TandemListeners],
    useFactory: (
      connection: TandemConnection,
      transports: TandemTransports,
      found: ListenerDiscovery,
      listeners: TandemListeners,
    ) => ({
      // `app.close()` waits for the strategy before any hook runs: listeners must not go on fetching meanwhile.
      strategy: serverOf(connection, transports, found, { ...options, closing: () => listeners.onModuleDestroy() }),
    }),
  }
}

function serverOf(
  connection: TandemConnection,
  lifecycle: TandemTransports,
  listeners: ListenerDiscovery,
  { defaultGroup, name, deserializer, closing }: TandemStrategyOptions & Pick<TandemServerOptions, 'closing'>,
): TandemServer {
  const server = new TandemServer({
    connection,
    lifecycle,
    groupsTaken: () => {
      const own = listeners
        .find()
        .filter(({ options }) => (options.connection ?? DEFAULT_CONNECTION) === connection.name)
      return new Map(own.map((listener) => [listener.options.group, listener.name]))
    },
    ...(defaultGroup === undefined ? {} : { defaultGroup }),
    ...(name === undefined ? {} : { name }),
    ...(deserializer === undefined ? {} : { deserializer }),
    ...(closing === undefined ? {} : { closing }),
  })
  lifecycle.add(server)
  return server
}

function tokenOf({ token, name }: TandemStrategyOptions): Type<TandemConnection> {
  return (token ?? tandemConnectionToken(name)) as Type<TandemConnection>
}
