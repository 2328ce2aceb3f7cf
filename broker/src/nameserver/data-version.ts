/** Version of a broker's topic table. Peers compare all three numbers; any difference means "changed" (remoting.md 1.8). */
export interface DataVersion {
  counter: number
  stateVersion: number
  /** ms since 1970. */
  timestamp: number
}

export function sameVersion(a: DataVersion, b: DataVersion): boolean {
  return a.counter === b.counter && a.stateVersion === b.stateVersion && a.timestamp === b.timestamp
}

/** Reads what a peer sent; what is missing or no number counts as 0, as in Java. */
export function dataVersionOf(value: unknown): DataVersion {
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const number = (name: string): number => {
    const found = Number(fields[name] ?? 0)
    return Number.isSafeInteger(found) ? found : 0
  }
  return { counter: number('counter'), stateVersion: number('stateVersion'), timestamp: number('timestamp') }
}
