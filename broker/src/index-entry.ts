/** What the index holds about one record beside its place; reused from record to record. */
export class IndexEntry {
  /** Java hash of the tag, 0 without one (i32). */
  tagsCode = 0
  /** 32-bit hashes of the keys the record can be found by: the first `keyCount` of them. */
  readonly keys: number[] = []
  keyCount = 0

  /** Forgets the record before. */
  begin(tagsCode: number): void {
    this.tagsCode = tagsCode
    this.keyCount = 0
  }

  addKey(hash: number): void {
    this.keys[this.keyCount++] = hash | 0
  }
}
