import type { AdapterConnection } from './database-adapter.ts'

/** How a library is told to roll back: its callback fails with this. */
class RolledBack extends Error {}

/**
 * For a `DatabaseAdapter` of a library whose transactions are callbacks (`db.transaction(async (trx) => …)`): the callback is
 * entered at `begin` and left at `commit` or `rollback`.
 * @param transaction runs `body` in a transaction of the library and settles when that is over
 */
export function callbackTransaction<Trx>(
  transaction: (body: (trx: Trx) => Promise<void>) => Promise<unknown>,
): Pick<AdapterConnection<Trx>, 'begin' | 'commit' | 'rollback'> {
  let leave: (error?: RolledBack) => void = () => {}
  let over: Promise<unknown> = Promise.resolve()
  return {
    begin: () =>
      new Promise((entered, failed) => {
        over = transaction((trx) => {
          const inside = new Promise<void>((resolve, reject) => {
            leave = (error) => (error === undefined ? resolve() : reject(error))
          })
          entered(trx)
          return inside
        })
        // Counts only where the callback was never entered: BEGIN failed.
        over.catch(failed)
      }),
    commit: () => {
      leave()
      return over
    },
    rollback: async () => {
      leave(new RolledBack('rolled back'))
      await over.catch((error: unknown) => {
        if (!(error instanceof RolledBack)) throw error
      })
    },
  }
}
