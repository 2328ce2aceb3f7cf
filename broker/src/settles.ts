/**
 * A copy the broker makes of a stored record (committed half, fired timer, retry, dead letter) and an op record carry
 * the physical offset of their source in the record field preparedTransactionOffset. Half table, timer index, settled
 * outcomes and retry attempts are therefore functions of the log alone: one append is the whole state change, and
 * replaying the log after a crash finds every source either settled or pending, never both.
 *
 * Zero means "no source" there, as in every record a client sends; a source at physical offset 0 is written as this:
 */
const SOURCE_AT_START = Number.MAX_SAFE_INTEGER

/** Value of preparedTransactionOffset in a copy of the record at `physicalOffset`. */
export function sourceMark(physicalOffset: number): number {
  return physicalOffset === 0 ? SOURCE_AT_START : physicalOffset
}

/** Physical offset of the record that a record with this preparedTransactionOffset was made from, -1 when none. */
export function sourceOf(preparedTransactionOffset: number): number {
  if (preparedTransactionOffset === 0) return -1
  return preparedTransactionOffset === SOURCE_AT_START ? 0 : preparedTransactionOffset
}
