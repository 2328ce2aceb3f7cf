import { AsyncLocalStorage } from 'node:async_hooks'
import type { Messages } from '@tandemmq/outbox'

/** The transaction the current call chain runs in, and what records messages in it. */
export interface CurrentTransaction {
  trx: unknown
  messages: Messages
}

/** Follows a transaction through awaits, so that `enqueue` needs no parameter for it. One per connection. */
export class TransactionScopes {
  private readonly storage = new AsyncLocalStorage<CurrentTransaction>()

  current(): CurrentTransaction | undefined {
    return this.storage.getStore()
  }

  run<T>(scope: CurrentTransaction, work: () => T): T {
    return this.storage.run(scope, work)
  }
}
