import { startBroker } from '@tandemmq/broker'
import * as client from '@tandemmq/client'

/** The programs a simulation runs: those of this repository, or a mutant of them. */
export interface Product {
  readonly startBroker: typeof startBroker
  readonly client: Pick<
    typeof client,
    'Admin' | 'Producer' | 'PullConsumer' | 'PushConsumer' | 'ReconsumeLater' | 'RejectMessage' | 'TransactionProducer'
  >
}

export const soundProduct: Product = { startBroker, client }
