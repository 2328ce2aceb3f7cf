import { Inject, Injectable } from '@nestjs/common'
import type { OnModuleInit, Type } from '@nestjs/common'
import { DiscoveryService } from '@nestjs/core'
import { TandemError } from '@tandemmq/client'
import { classOf } from '../listeners/listener-discovery.ts'
import { DEFAULT_CONNECTION, TRANSACTION_LISTENER } from '../tokens.ts'
import type { LocalTransactions, TransactionListenerOptions } from './transaction-listener.ts'

interface Found {
  name: string
  listener: LocalTransactions
}

/** The `@TransactionListener` of an application by producer. */
@Injectable()
export class TransactionListeners implements OnModuleInit {
  private readonly discovery: DiscoveryService
  private readonly producers = new Set<string>()
  private found: Map<string, Found> | undefined

  constructor(@Inject(DiscoveryService) discovery: DiscoveryService) {
    this.discovery = discovery
  }

  /** @throws {TandemError} LISTENER_INVALID for a listener of a producer that nobody declared */
  onModuleInit(): void {
    for (const [key, { name }] of this.all()) {
      if (!this.producers.has(key))
        refuse(`${name} is the @TransactionListener of producer ${key}, which no forFeature declares`)
    }
  }

  /** Tells of a transactional producer; before `onModuleInit`. */
  declare(producer: string, connection: string): void {
    this.producers.add(keyOf(producer, connection))
  }

  /** @throws {TandemError} LISTENER_INVALID when there is none, or two */
  of(producer: string, connection: string): LocalTransactions {
    const found = this.all().get(keyOf(producer, connection))
    return (
      found?.listener ?? refuse(`producer ${producer} is transactional and no provider is its @TransactionListener`)
    )
  }

  private all(): ReadonlyMap<string, Found> {
    this.found ??= this.find()
    return this.found
  }

  private find(): Map<string, Found> {
    const found = new Map<string, Found>()
    const seen = new Set<unknown>()
    for (const wrapper of this.discovery.getProviders()) {
      const metatype: Type<unknown> | undefined = classOf(wrapper)
      if (metatype === undefined || wrapper.isAlias || seen.has(wrapper.instance ?? wrapper)) continue
      const options: TransactionListenerOptions | undefined = Reflect.getMetadata(TRANSACTION_LISTENER, metatype)
      if (options === undefined) continue
      seen.add(wrapper.instance ?? wrapper)
      const { name } = metatype
      if (!wrapper.isDependencyTreeStatic()) refuse(`${name} is a @TransactionListener and must not be request-scoped`)
      const listener = wrapper.instance as LocalTransactions
      if (typeof listener?.checkLocalTransaction !== 'function') {
        refuse(`${name} is a @TransactionListener without a method checkLocalTransaction`)
      }
      const key = keyOf(options.producer, options.connection ?? DEFAULT_CONNECTION)
      const twin = found.get(key)
      if (twin !== undefined) refuse(`${twin.name} and ${name} are both the @TransactionListener of producer ${key}`)
      found.set(key, { name, listener })
    }
    return found
  }
}

function keyOf(producer: string, connection: string): string {
  return connection === DEFAULT_CONNECTION ? `"${producer}"` : `"${producer}" of connection "${connection}"`
}

function refuse(detail: string): never {
  throw new TandemError('LISTENER_INVALID', detail)
}
