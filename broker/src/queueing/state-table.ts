/** The part of the state journal a room needs: its own table of small JSON entries. */
export interface Journal {
  /** `apply` gets every stored entry of the table within the call, oldest first. */
  register(table: string, owner: { apply(entry: unknown): void; snapshot(): Iterable<unknown> }): void
  append(table: string, entry: unknown): void
  appendDurable(table: string, entry: unknown): Promise<void>
  /** Writes what was appended so far, without waiting for the disk. */
  commit(): void
}

/** Appends an entry and sends it on its way to the disk now. Resolves when it is there. */
export function storeNow(journal: Journal, table: string, entry: unknown): Promise<void> {
  const stored = journal.appendDurable(table, entry)
  journal.commit()
  return stored
}

/**
 * As {@link storeNow}, for callers that need not wait: the entry precedes the next batch of messages. A failure that nobody
 * awaits is not lost, it fences the store, which is where it is reported.
 */
export function storeSoon(journal: Journal, table: string, entry: unknown): Promise<void> {
  const stored = journal.appendDurable(table, entry)
  stored.catch(() => {})
  return stored
}
