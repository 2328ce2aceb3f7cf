import type { INestApplication, INestMicroservice, InjectionToken, Type } from '@nestjs/common'
import type { AsyncMicroserviceOptions, MicroserviceOptions } from '@nestjs/microservices'
import { ListenerDiscovery } from './listener-discovery.ts'
import { TandemConnection } from './tandem-connection.ts'
import { TandemServer } from './tandem-server.ts'
import type { TandemServerOptions } from './tandem-server.ts'
import { TandemTransports } from './tandem-transports.ts'

/** Which connection of the application carries its controllers' handlers, and how. */
export interface TandemStrategyOptions extends Pick<TandemServerOptions, 'defaultGroup' | 'name' | 'deserializer'> {
  /** Provider of the connection. Default: that of `TandemModule`. */
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
    inject: [tokenOf(options), TandemTransports, ListenerDiscovery],
    useFactory: (connection: TandemConnection, transports: TandemTransports, listeners: ListenerDiscovery) => ({
      strategy: serverOf(connection, transports, listeners, options),
    }),
  }
}

function serverOf(
  connection: TandemConnection,
  lifecycle: TandemTransports,
  listeners: ListenerDiscovery,
  { defaultGroup, name, deserializer }: TandemStrategyOptions,
): TandemServer {
  const server = new TandemServer({
    connection,
    lifecycle,
    groupsTaken: () => new Map(listeners.find().map((listener) => [listener.options.group, listener.name])),
    ...(defaultGroup === undefined ? {} : { defaultGroup }),
    ...(name === undefined ? {} : { name }),
    ...(deserializer === undefined ? {} : { deserializer }),
  })
  lifecycle.add(server)
  return server
}

function tokenOf({ token }: TandemStrategyOptions): Type<TandemConnection> {
  return (token ?? TandemConnection) as Type<TandemConnection>
}
