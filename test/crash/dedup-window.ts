/** A stored message as the rule sees it. */
export interface Keyed {
  key: string
  /** By the broker, ms. */
  storedAt: number
}

/**
 * Rule DedupWindow: of two messages of a topic with one key the second was stored at the end of the window of the first or later.
 * @param messages of one topic
 * @returns a line for each pair that is not
 */
export function dedupWindowViolations(messages: readonly Keyed[], windowMs: number): string[] {
  const last = new Map<string, number>()
  const found: string[] = []
  for (const { key, storedAt } of messages.toSorted((a, b) => a.storedAt - b.storedAt)) {
    const before = last.get(key)
    if (before !== undefined && storedAt - before < windowMs) {
      found.push(`${key} was stored again after ${storedAt - before} ms of ${windowMs}`)
    }
    last.set(key, storedAt)
  }
  return found
}
