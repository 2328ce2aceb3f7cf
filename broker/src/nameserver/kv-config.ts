/** The part of the state journal needed here. */
export interface KvJournal {
  register(table: string, owner: { apply(entry: unknown): void; snapshot(): Iterable<unknown> }): void
  appendDurable(table: string, entry: unknown): Promise<void>
  commit(): void
}

const TABLE = 'kv'

/** `value` absent = deleted. */
interface Entry {
  namespace: string
  key: string
  value?: string
}

/** Operators' settings by namespace and key (codes 100 to 102 and 219), in the journal table `kv`. */
export class KvConfig {
  readonly #journal: KvJournal
  readonly #namespaces = new Map<string, Map<string, string>>()

  constructor(options: { journal: KvJournal }) {
    this.#journal = options.journal
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#snapshot(),
    })
  }

  get(namespace: string, key: string): string | undefined {
    return this.#namespaces.get(namespace)?.get(key)
  }

  /** @returns undefined for a namespace without keys */
  list(namespace: string): Record<string, string> | undefined {
    const entries = this.#namespaces.get(namespace)
    return entries === undefined || entries.size === 0 ? undefined : Object.fromEntries(entries)
  }

  /** Durable when resolved. */
  put(namespace: string, key: string, value: string): Promise<void> {
    return this.#change({ namespace, key, value })
  }

  /** Deleting what is not there is no error. Durable when resolved. */
  delete(namespace: string, key: string): Promise<void> {
    return this.#change({ namespace, key })
  }

  #change(entry: Entry): Promise<void> {
    this.#apply(entry)
    const stored = this.#journal.appendDurable(TABLE, entry)
    this.#journal.commit()
    return stored
  }

  #apply({ namespace, key, value }: Entry): void {
    let entries = this.#namespaces.get(namespace)
    if (entries === undefined) this.#namespaces.set(namespace, (entries = new Map()))
    if (value === undefined) entries.delete(key)
    else entries.set(key, value)
  }

  *#snapshot(): Iterable<Entry> {
    for (const [namespace, entries] of this.#namespaces) {
      for (const [key, value] of entries) yield { namespace, key, value }
    }
  }
}
