/** What a recall handle says (remoting.md 2A, 370). */
export interface RecallHandle {
  topic: string
  brokerName: string
  /** ms since 1970 */
  deliverAt: number
  uniqueKey: string
}

/** URL-safe base64, padded, of `v1 topic broker deliverAt uniqueKey`. */
export function recallHandle(topic: string, brokerName: string, deliverAt: number, uniqueKey: string): string {
  const text = Buffer.from(`v1 ${topic} ${brokerName} ${deliverAt} ${uniqueKey}`, 'utf8').toString('base64url')
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

/** @returns undefined when `handle` is none */
export function parseRecallHandle(handle: string): RecallHandle | undefined {
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(handle)) return undefined
  const parts = Buffer.from(handle, 'base64url').toString('utf8').split(' ')
  const [version, topic, brokerName, deliverAt, uniqueKey] = parts
  if (parts.length !== 5 || version !== 'v1' || !topic || !brokerName || !uniqueKey) return undefined
  if (!/^\d{1,16}$/.test(deliverAt ?? '')) return undefined
  return { topic, brokerName, deliverAt: Number(deliverAt), uniqueKey }
}
