/**
 * Thrown by a listener with `batch`: some of the messages failed, each in its own way; all others are consumed.
 *
 * `throw new PartialFailure([[2, new RejectMessage('no amount')], [5, error]])`
 */
export class PartialFailure extends Error {
  /** What each failed message would have thrown alone, by its place in the arrays. */
  readonly failures: ReadonlyMap<number, unknown>

  constructor(failures: Iterable<readonly [index: number, error: unknown]>) {
    const byIndex = new Map(failures)
    super(`${byIndex.size} messages of a batch failed`)
    this.name = 'PartialFailure'
    this.failures = byIndex
  }
}
