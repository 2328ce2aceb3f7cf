import { Inject, Injectable, Logger } from '@nestjs/common'
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common'
import { sleep, systemClock } from '@tandemmq/client'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { TandemConnections } from '../connection/tandem-connections.ts'
import { TandemListeners } from '../listeners/tandem-listeners.ts'
import { GroupLag } from './group-lag.ts'

/** Tells `TandemEvents` from time to time what no message tells: how far behind groups are, what the outbox counts. */
@Injectable()
export class Gauges implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly connections: TandemConnections
  private readonly listeners: TandemListeners
  private readonly lag: GroupLag
  private readonly ending = new AbortController()
  private readonly logger = new Logger('TandemEvents')
  private isRunning = false

  constructor(
    @Inject(TandemConnections) connections: TandemConnections,
    @Inject(TandemListeners) listeners: TandemListeners,
    @Inject(GroupLag) lag: GroupLag,
  ) {
    this.connections = connections
    this.listeners = listeners
    this.lag = lag
  }

  onApplicationBootstrap(): void {
    if (this.isRunning) return
    this.isRunning = true
    for (const connection of this.connections.names.map((name) => this.connections.get(name))) {
      if (connection.enabled && connection.options.telemetry?.events === true) void this.watch(connection)
    }
  }

  onModuleDestroy(): void {
    this.ending.abort()
  }

  private async watch(connection: TandemConnection): Promise<void> {
    const { client, telemetry } = connection.options
    const { signal } = this.ending
    for (;;) {
      await sleep(client?.clock ?? systemClock, telemetry?.gaugeIntervalMs ?? 15_000, signal).catch(() => {})
      if (signal.aborted) return
      try {
        await this.tell(connection)
      } catch (error) {
        this.logger.error('what listens to lag or outbox threw', error)
      }
    }
  }

  private async tell(connection: TandemConnection): Promise<void> {
    const { events } = this.connections
    const { outbox } = await connection.state()
    if (outbox !== undefined) events.emit('outbox', { ...outbox, connection: connection.name })
    if (events.listenerCount('lag') === 0) return
    for (const group of this.groupsOf(connection)) {
      const lag = await this.lag.of(connection, group)
      if (this.ending.signal.aborted) return
      if (!Number.isNaN(lag)) events.emit('lag', { connection: connection.name, group, lag })
    }
  }

  /** Paused ones fall behind as well; only who broadcasts keeps its position to itself. */
  private groupsOf({ name, telemetry }: TandemConnection): Set<string> {
    const listening = this.listeners.groups().filter((one) => one.connection === name && one.mode !== 'broadcasting')
    const consumers = [...telemetry.consumers].filter((consumer) => !telemetry.broadcasting.has(consumer))
    return new Set([...listening, ...consumers].map(({ group }) => group))
  }
}
