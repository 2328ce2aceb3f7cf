import { encodeEntry } from './journal-entry.ts'
import type { JournalOwner } from './journal-options.ts'

/** Whose the tables of the journal are. */
export class JournalTables {
  readonly #owners = new Map<string, JournalOwner>()
  /** Not asked for yet; kept through snapshots, so that no table is lost to a program that lacks it. */
  readonly #unclaimed = new Map<string, unknown[]>()

  /** Gives `owner` what is there of `table`. */
  claim(table: string, owner: JournalOwner): void {
    this.#owners.set(table, owner)
    const entries = this.#unclaimed.get(table) ?? []
    this.#unclaimed.delete(table)
    for (const entry of entries) owner.apply(entry)
  }

  /** An entry that is not of the table's owner. */
  keep(table: string, entry: unknown): void {
    if (this.#owners.has(table)) return
    const entries = this.#unclaimed.get(table)
    if (entries === undefined) this.#unclaimed.set(table, [entry])
    else entries.push(entry)
  }

  /** Entries that say all of all tables. */
  snapshot(): Buffer[] {
    const parts: Buffer[] = []
    for (const [table, entries] of this.#unclaimed) for (const entry of entries) parts.push(encodeEntry(table, entry))
    for (const [table, owner] of this.#owners) {
      for (const entry of owner.snapshot()) parts.push(encodeEntry(table, entry))
    }
    return parts
  }
}
