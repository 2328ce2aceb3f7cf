import { EventEmitter } from 'node:events'
import { Logger } from '@nestjs/common'
import type { OnApplicationBootstrap } from '@nestjs/common'
import { ReconsumeLater, RejectMessage } from '@tandemmq/client'
import type { CheckEvent, ClientHook, ConsumeEvent, SendEvent } from '@tandemmq/client'
import type { OutboxStats } from '@tandemmq/outbox'

/** What happened, and on which connection of the application. */
export type OnConnection<E> = E & { readonly connection: string }

/** Names of the events and what their listeners get. */
export interface TandemEventMap {
  /** Stored by the broker; of a one-way message: given to the socket. */
  sent: [event: OnConnection<SendEvent>]
  sendFailed: [event: OnConnection<SendEvent>]
  /** A handler has ended well. */
  consumed: [event: OnConnection<ConsumeEvent>]
  /** It failed or asked for later: the message comes again. */
  retried: [event: OnConnection<ConsumeEvent>]
  /** It refused the message: a `RejectMessage`, a payload that could not be read or did not fit. Also told as `deadLettered`. */
  rejected: [event: OnConnection<ConsumeEvent>]
  /** It refused the message, or failed at its last attempt by what this process knows of the group's limit. */
  deadLettered: [event: OnConnection<ConsumeEvent>]
  /** A broker has asked about a half message of a `@TransactionListener`. */
  checkedBack: [event: OnConnection<CheckEvent>]
  /** Every `gaugeIntervalMs`, for each group of this process that shares its messages: how many are before it. */
  lag: [event: { readonly connection: string; readonly group: string; readonly lag: number }]
  /** As often: what the outbox of this process counts. */
  outbox: [event: OnConnection<OutboxStats>]
}

/** PushConsumerOptions.attemptsMax */
const ATTEMPTS_MAX = 16

/**
 * What every connection sends and consumes, for metrics. Needs `telemetry: { events: true }` in the options of a connection.
 * Listeners run in the middle of the work: they should count, not wait; one that throws is logged.
 */
export class TandemEvents extends EventEmitter<TandemEventMap> implements OnApplicationBootstrap {
  private readonly logger = new Logger('TandemEvents')
  private isFed = false

  onApplicationBootstrap(): void {
    if (this.eventNames().length === 0 || this.isFed) return
    this.logger.warn(
      'somebody listens, but no connection tells: set TandemModule.forRoot({ telemetry: { events: true } })',
    )
  }

  /** What tells this emitter of the clients of a connection. */
  hookOf(connection: string, attemptsMax = ATTEMPTS_MAX): ClientHook {
    this.isFed = true
    return {
      afterSend: (event) => {
        this.tell(event.error === undefined ? 'sent' : 'sendFailed', event, connection)
      },
      afterConsume: (event) => {
        if (event.error instanceof RejectMessage) this.tell('rejected', event, connection)
        this.tell(outcomeOf(event, attemptsMax), event, connection)
      },
      afterCheck: (event) => {
        this.tell('checkedBack', event, connection)
      },
    }
  }

  private tell<N extends keyof TandemEventMap>(name: N, event: object, connection: string): void {
    if (this.listenerCount(name) === 0) return
    const told = Object.assign(event, { connection })
    this.emit(name, ...([told] as unknown as never))
  }
}

function outcomeOf({ succeeded, error, message }: ConsumeEvent, attemptsMax: number) {
  if (succeeded) return 'consumed'
  if (error instanceof RejectMessage) return 'deadLettered'
  if (error instanceof ReconsumeLater) return 'retried'
  return message.attempt >= attemptsMax ? 'deadLettered' : 'retried'
}
