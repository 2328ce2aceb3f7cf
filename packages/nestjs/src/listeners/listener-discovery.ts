import { Inject, Injectable } from '@nestjs/common'
import type { InjectionToken, Type } from '@nestjs/common'
import { DiscoveryService, MetadataScanner, ModuleRef } from '@nestjs/core'
import { TandemError } from '@tandemmq/client'
import { LISTENER_CLASS, LISTENER_METHODS } from '../tokens.ts'
import type { MethodListener } from './decorators.ts'
import type { LateListenerOptions, ListenerOptions } from './listener-options.ts'

type ProviderWrapper = ReturnType<DiscoveryService['getProviders']>[number]

/** A decorated method of a provider of this application. */
export interface FoundListener {
  name: string
  wrapper: ProviderWrapper
  metatype: Type<unknown>
  method: string
  options: ListenerOptions
}

/** Finds what `@MessageListener` and `@OnMessage` marked, per application and after all providers exist. */
@Injectable()
export class ListenerDiscovery {
  private readonly discovery: DiscoveryService
  private readonly scanner: MetadataScanner
  private readonly moduleRef: ModuleRef

  constructor(
    @Inject(DiscoveryService) discovery: DiscoveryService,
    @Inject(MetadataScanner) scanner: MetadataScanner,
    @Inject(ModuleRef) moduleRef: ModuleRef,
  ) {
    this.discovery = discovery
    this.scanner = scanner
    this.moduleRef = moduleRef
  }

  /** @throws {TandemError} LISTENER_INVALID for a listener class without `onMessage` and for a marked controller */
  find(): FoundListener[] {
    const found: FoundListener[] = []
    // A provider exported under several tokens is still one listener.
    const seen = new Set<unknown>()
    for (const wrapper of this.discovery.getProviders()) {
      const metatype = classOf(wrapper)
      if (metatype === undefined || wrapper.isAlias || seen.has(wrapper.instance ?? wrapper)) continue
      const listeners = this.listenersOf(wrapper, metatype)
      if (listeners.length > 0) seen.add(wrapper.instance ?? wrapper)
      found.push(...listeners)
    }
    return found
  }

  private listenersOf(wrapper: ProviderWrapper, metatype: Type<unknown>): FoundListener[] {
    const listeners: FoundListener[] = []
    const add = (method: string, options: ListenerOptions | LateListenerOptions): void => {
      listeners.push({ name: `${metatype.name}.${method}`, wrapper, metatype, method, options: this.resolve(options) })
    }
    const whole: ListenerOptions | LateListenerOptions | undefined = Reflect.getMetadata(LISTENER_CLASS, metatype)
    const prototype = metatype.prototype as Record<string, unknown>
    if (whole !== undefined) {
      if (typeof prototype['onMessage'] !== 'function') {
        throw new TandemError('LISTENER_INVALID', `${metatype.name} is a @MessageListener without a method onMessage`)
      }
      add('onMessage', whole)
    }
    const methods: MethodListener[] = Reflect.getMetadata(LISTENER_METHODS, metatype) ?? []
    const names = new Set(this.scanner.getAllMethodNames(prototype))
    for (const { method, options } of methods) if (names.has(method)) add(method, options)
    return listeners
  }

  private resolve(options: ListenerOptions | LateListenerOptions): ListenerOptions {
    if (typeof options !== 'function') return options
    return options(<T>(token: InjectionToken<T>): T => this.moduleRef.get(token as Type<T>, { strict: false }))
  }
}

export function classOf(wrapper: ProviderWrapper): Type<unknown> | undefined {
  // A factory's metatype is the factory function; what it made tells the class.
  const candidate: unknown = wrapper.isNotMetatype || wrapper.inject ? wrapper.instance?.constructor : wrapper.metatype
  return typeof candidate === 'function' && candidate.prototype !== undefined ? (candidate as Type<unknown>) : undefined
}
