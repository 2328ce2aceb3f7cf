/** What delivery needs of the store. */
export interface RecordReader {
  /** Copies a stored record into `target`; false when retention removed it. */
  readInto(physicalOffset: number, size: number, target: Buffer, at: number): boolean
}
