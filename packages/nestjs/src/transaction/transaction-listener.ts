import 'reflect-metadata'
import { Injectable } from '@nestjs/common'
import type { ConsumedMessage, OutgoingMessage, PreparedMessage, TransactionDecision } from '@tandemmq/client'
import { TRANSACTION_LISTENER } from '../tokens.ts'

/**
 * What a {@link TransactionListener} has to answer. `'unknown'`, and throwing in `checkLocalTransaction`, have the broker ask
 * again later.
 */
export interface LocalTransactions<Argument = unknown> {
  /**
   * Runs when the half message is stored; throwing rolls it back. Needed for {@link TandemProducer.sendInTransaction}.
   * @param argument what `sendInTransaction` was given
   */
  executeLocalTransaction?(
    message: OutgoingMessage,
    argument: Argument,
    prepared: PreparedMessage,
  ): TransactionDecision | Promise<TransactionDecision>
  /** What became of the transaction of this half message, as the application's own records say; any process may be asked. */
  checkLocalTransaction(message: ConsumedMessage): TransactionDecision | Promise<TransactionDecision>
}

export interface TransactionListenerOptions {
  /** Name in `TandemModule.forFeature({ producers: [{ name, … }] })`. */
  producer: string
  /** Connection of that producer. Default: the one without a name. */
  connection?: string
}

/**
 * Makes a provider the local transactions of one producer, for those who keep a record of outcomes of their own; with an
 * outbox none is needed. One per producer, as many producers as you like. The provider must not be request-scoped.
 */
export function TransactionListener(
  options: TransactionListenerOptions,
): <Listener extends LocalTransactions<never>>(target: new (...args: never[]) => Listener) => void {
  return (target) => {
    Injectable()(target)
    Reflect.defineMetadata(TRANSACTION_LISTENER, options, target)
  }
}
