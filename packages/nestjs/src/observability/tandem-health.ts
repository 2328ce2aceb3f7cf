import { Inject, Injectable } from '@nestjs/common'
import { systemClock } from '@tandemmq/client'
import type { OutboxStats } from '@tandemmq/outbox'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { TandemConnections } from '../connection/tandem-connections.ts'
import { TandemListeners } from '../listeners/tandem-listeners.ts'
import { GroupLag } from './group-lag.ts'

/** What counts as healthy. */
export interface HealthOptions {
  /** Default `default`. */
  connection?: string
  /** A group that has queues and heard nothing of a broker for longer is down, ms. An idle group hears every 20 s. Default 60,000. */
  silenceMsMax?: number
  /** A group with more messages before it is down; looked up at the broker for each check. Default: not looked up. */
  lagMax?: number
  /** More rows in the outbox table, of all processes, and it is down. Default: no limit. */
  outboxRowsMax?: number
}

/** What one check saw. `problems` is empty when the status is `up`. */
export interface HealthDetails {
  status: 'up' | 'down'
  problems: string[]
  /** Of the producer; undefined when nothing was sent yet and nothing had to be. */
  connected: boolean | undefined
  groups: Record<string, GroupHealth>
  outbox?: OutboxStats
}

export interface GroupHealth {
  state: 'listening' | 'paused' | 'stopped'
  connected: boolean
  /** Since a broker last answered a question for messages, ms; undefined: never. */
  silentMs: number | undefined
  queues: number
  runningHandlers: number
  /** Messages before the group, with `lagMax`; none of a broadcasting group. */
  lag?: number
}

/**
 * Health of the clients the application really has: `isHealthy` opens no connection (but one for `lagMax`, kept until the
 * application ends). In the shape of @nestjs/terminus, which is not needed:
 * `health.check([() => tandem.isHealthy('tandem')])`.
 */
@Injectable()
export class TandemHealthIndicator {
  private readonly connections: TandemConnections
  private readonly listeners: TandemListeners
  private readonly lag: GroupLag

  constructor(
    @Inject(TandemConnections) connections: TandemConnections,
    @Inject(TandemListeners) listeners: TandemListeners,
    @Inject(GroupLag) lag: GroupLag,
  ) {
    this.connections = connections
    this.listeners = listeners
    this.lag = lag
  }

  /**
   * @returns `{ [key]: { status, … } }`; terminus answers 503 for `down`
   * @throws {TandemError} OPTION_INVALID when there is no such connection
   */
  async isHealthy<K extends string>(key: K, options: HealthOptions = {}): Promise<Record<K, HealthDetails>> {
    const connection = this.connections.get(options.connection)
    const details = connection.enabled ? await this.look(connection, options) : off
    return { [key]: details } as Record<K, HealthDetails>
  }

  private async look(connection: TandemConnection, options: HealthOptions): Promise<HealthDetails> {
    const { isConnected, outbox, isClosed } = await connection.state()
    const groups = await this.groupsOf(connection, options.lagMax !== undefined)
    const problems = [...outboxProblems(outbox, options)]
    if (isClosed || this.listeners.isEnding) problems.push('the application is shutting down')
    else if (isConnected === false) problems.push('no broker is connected')
    for (const [group, health] of Object.entries(groups)) problems.push(...groupProblems(group, health, options))
    const status = problems.length === 0 ? 'up' : 'down'
    return { status, problems, connected: isConnected, groups, ...(outbox === undefined ? {} : { outbox }) }
  }

  private async groupsOf(connection: TandemConnection, withLag: boolean): Promise<Record<string, GroupHealth>> {
    const now = (connection.options.client?.clock ?? systemClock).now()
    const groups: Record<string, GroupHealth> = {}
    // They keep their positions to themselves.
    const broadcasting = new Set<string>()
    for (const { group, isPaused, mode, connection: name } of this.listeners.groups()) {
      const state = isPaused ? 'paused' : 'stopped'
      if (name !== connection.name) continue
      if (mode === 'broadcasting') broadcasting.add(group)
      groups[group] = { state, connected: false, silentMs: undefined, queues: 0, runningHandlers: 0 }
    }
    for (const consumer of connection.telemetry.consumers) {
      if (connection.telemetry.broadcasting.has(consumer)) broadcasting.add(consumer.group)
      const { isConnected, lastAnswerAt, queues, runningHandlers } = consumer.stats()
      const silentMs = lastAnswerAt === 0 ? undefined : Math.max(0, Math.round(now - lastAnswerAt))
      groups[consumer.group] = { state: 'listening', connected: isConnected, silentMs, queues, runningHandlers }
    }
    if (withLag) {
      for (const [group, health] of Object.entries(groups)) {
        if (!broadcasting.has(group)) health.lag = await this.lag.of(connection, group)
      }
    }
    return groups
  }
}

const off: HealthDetails = { status: 'up', problems: [], connected: undefined, groups: {} }

function outboxProblems(stats: OutboxStats | undefined, { outboxRowsMax = Infinity }: HealthOptions): string[] {
  if (stats === undefined) return []
  const problems: string[] = []
  // Transactions go on, through the table: a reason to look, not to take the process away. Too many rows are one.
  if (stats.outboxRows > outboxRowsMax) {
    problems.push(
      `${stats.outboxRows} messages wait in the outbox table${stats.circuitOpen ? ', the broker is away' : ''}`,
    )
  }
  return problems
}

function groupProblems(group: string, health: GroupHealth, options: HealthOptions): string[] {
  const { silenceMsMax = 60_000, lagMax = Infinity } = options
  const { state, connected, silentMs, lag } = health
  if (state === 'paused') return []
  if (state === 'stopped') return [`group ${group} does not listen`]
  const problems: string[] = []
  if (!connected) problems.push(`group ${group} has no connection to a broker`)
  if (silentMs !== undefined && silentMs > silenceMsMax) {
    problems.push(`group ${group} has heard of no broker for ${silentMs} ms`)
  }
  if (lag !== undefined && !(lag <= lagMax)) {
    problems.push(
      Number.isNaN(lag) ? `the lag of group ${group} is not known` : `group ${group} is ${lag} messages behind`,
    )
  }
  return problems
}
