const CLIENTS_MAX = 10_000

/**
 * Which client a connection belonged to and which connection that client has now, also after the first one closed: what
 * was sent through the old one can be asked about through the new one. The oldest are forgotten.
 */
export class KnownClients {
  readonly #clientOf = new Map<number, string>()
  readonly #connectionOf = new Map<string, number>()

  note(connectionId: number, clientId: string): void {
    this.#clientOf.set(connectionId, clientId)
    // Set anew, so that the order is that of the last sign of life.
    this.#connectionOf.delete(clientId)
    this.#connectionOf.set(clientId, connectionId)
    if (this.#clientOf.size > CLIENTS_MAX) forgetOldest(this.#clientOf)
    if (this.#connectionOf.size > CLIENTS_MAX) forgetOldest(this.#connectionOf)
  }

  /** The newest connection of the client that once had this one; the same one when nothing better is known. */
  successorOf(connectionId: number): number {
    const clientId = this.#clientOf.get(connectionId)
    return (clientId === undefined ? undefined : this.#connectionOf.get(clientId)) ?? connectionId
  }
}

function forgetOldest<K>(map: Map<K, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key)
    return
  }
}
