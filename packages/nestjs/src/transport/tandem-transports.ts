import { Injectable } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common'
import { TandemError } from '@tandemmq/client'

type TransportServer = { transportId?: unknown; close(): Promise<void> }

/**
 * Ties the transports of an application to its life. Nest listens to a microservice of a hybrid application before any
 * `onModuleInit` when it is started first, and after a signal closes it only when every provider is torn down.
 */
@Injectable()
export class TandemTransports implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
  private readonly servers = new Map<unknown, TransportServer>()
  private readonly starts: (() => Promise<void>)[] = []
  private isReady = false

  /** True until the providers of the application are initialised. */
  get isWaiting(): boolean {
    return !this.isReady
  }

  /** @throws {TandemError} LISTENER_INVALID for a second server of one connection: each would run every handler */
  add(server: TransportServer): void {
    if (this.servers.has(server.transportId)) {
      throw new TandemError('LISTENER_INVALID', `${String(server.transportId)} has a transport already`)
    }
    this.servers.set(server.transportId, server)
  }

  whenReady(start: () => Promise<void>): void {
    this.starts.push(start)
  }

  async onApplicationBootstrap(): Promise<void> {
    this.isReady = true
    for (const start of this.starts.splice(0)) await start()
  }

  /** No new messages from here on, while every provider still works. */
  onModuleDestroy(): void {
    for (const server of this.servers.values()) void server.close()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([...this.servers.values()].map((server) => server.close()))
  }
}
