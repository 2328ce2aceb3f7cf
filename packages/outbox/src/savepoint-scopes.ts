import { AsyncLocalStorage } from 'node:async_hooks'
import type { Knex } from 'knex'
import { OutboxError } from './outbox-error.ts'
import type { OutgoingMessage } from './foundation.ts'

interface Scope {
  readonly messages: (() => void)[]
  rolledBack: boolean
}

/**
 * Nested knex transactions are savepoints: a message sent in one belongs to the transaction only once its savepoint is
 * released. It waits until then, so a savepoint rolled back takes its messages with it and needs no marker of its own.
 */
export class SavepointScopes {
  readonly #current = new AsyncLocalStorage<Scope>()
  #open = 0
  #handles = 0

  /** True while a nested transaction has neither been released nor rolled back. */
  get hasOpen(): boolean {
    return this.#open > 0
  }

  /** Runs `send` now at the top level, or when the savepoint around the caller is released. */
  run(message: OutgoingMessage, send: () => void): void {
    const scope = this.#current.getStore()
    if (scope !== undefined) {
      scope.messages.push(send)
      return
    }
    if (this.#handles > 0) {
      throw new OutboxError(
        'ILLEGAL_OPERATION',
        `message to ${message.topic}: a savepoint made by \`await trx.transaction()\` is open, and its messages cannot be told apart; use trx.transaction(async (inner) => …)`,
      )
    }
    send()
  }

  /** Watches the savepoints of `trx` and of those inside it. */
  watch(trx: Knex.Transaction, parent?: Scope): void {
    const nested = trx.transaction.bind(trx) as unknown as (container: unknown, config?: unknown) => Promise<unknown>
    const transaction = (container: unknown, config?: unknown): Promise<unknown> => {
      if (typeof container !== 'function')
        return this.#watchHandle(nested(container, config) as Promise<Knex.Transaction>)
      const scope: Scope = { messages: [], rolledBack: false }
      this.#open++
      const inside = (inner: Knex.Transaction): unknown => {
        this.#watchEnd(inner, scope)
        this.watch(inner, scope)
        return this.#current.run(scope, () => (container as (inner: Knex.Transaction) => unknown)(inner))
      }
      return nested(inside, config).then(
        (value) => {
          this.#open--
          if (!scope.rolledBack) this.#release(scope, parent)
          return value
        },
        (error: unknown) => {
          this.#open--
          throw error
        },
      )
    }
    for (const name of ['transaction', 'savepoint']) {
      Object.defineProperty(trx, name, { value: transaction, configurable: true, writable: true })
    }
  }

  #release(scope: Scope, parent: Scope | undefined): void {
    if (parent !== undefined) parent.messages.push(...scope.messages)
    else for (const send of scope.messages) send()
  }

  /** knex resolves a nested transaction that was rolled back without a reason: only the call tells. */
  #watchEnd(inner: Knex.Transaction, scope: Scope): void {
    const rollback = inner.rollback.bind(inner)
    Object.defineProperty(inner, 'rollback', {
      value: (reason?: unknown) => {
        scope.rolledBack = true
        return rollback(reason)
      },
      configurable: true,
    })
  }

  async #watchHandle(opening: Promise<Knex.Transaction>): Promise<Knex.Transaction> {
    const inner = await opening
    this.#open++
    this.#handles++
    const closed = (): void => {
      this.#open--
      this.#handles--
    }
    inner.executionPromise.then(closed, closed)
    return inner
  }
}
