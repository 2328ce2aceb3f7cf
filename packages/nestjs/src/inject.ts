import { Inject } from '@nestjs/common'
import type { InjectionToken } from '@nestjs/common'
import { TandemConnection } from './connection/tandem-connection.ts'
import { TandemTemplate } from './sending/tandem-template.ts'
import { DEFAULT_CONNECTION } from './tokens.ts'

/** Token of the {@link TandemTemplate} of a connection; the default one's is the class itself. */
export function tandemToken(connection: string = DEFAULT_CONNECTION): InjectionToken<TandemTemplate> {
  return connection === DEFAULT_CONNECTION ? TandemTemplate : Symbol.for(`tandemmq.nestjs.template.${connection}`)
}

/** Token of the {@link TandemConnection} of a connection; the default one's is the class itself. */
export function tandemConnectionToken(connection: string = DEFAULT_CONNECTION): InjectionToken<TandemConnection> {
  return connection === DEFAULT_CONNECTION ? TandemConnection : Symbol.for(`tandemmq.nestjs.connection.${connection}`)
}

/** Injects the {@link TandemTemplate} of `TandemModule.forRoot({ name: connection, … })`. */
export function InjectTandem(connection?: string): ParameterDecorator & PropertyDecorator {
  return Inject(tandemToken(connection))
}

/** Injects the {@link TandemConnection} of `TandemModule.forRoot({ name: connection, … })`. */
export function InjectTandemConnection(connection?: string): ParameterDecorator & PropertyDecorator {
  return Inject(tandemConnectionToken(connection))
}

/** Token of the {@link TandemProducer} of `TandemModule.forFeature({ producers: [{ name }] })`. */
export function tandemProducerToken(name: string, connection: string = DEFAULT_CONNECTION): symbol {
  return Symbol.for(`tandemmq.nestjs.producer.${connection}.${name}`)
}

/** Injects the {@link TandemProducer} of that name. */
export function InjectProducer(name: string, connection?: string): ParameterDecorator & PropertyDecorator {
  return Inject(tandemProducerToken(name, connection))
}
