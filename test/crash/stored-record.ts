/** What a reader needs of a stored record with IPv4 hosts (docs/spec/remoting.md 3.3). */
export interface ReadMessage {
  readonly queueId: number
  readonly offset: number
  readonly physicalOffset: number
  readonly topic: string
  readonly body: Buffer
}

/** The records of the body of a PULL answer, by a reader that shares nothing with the broker. */
export function readRecords(bytes: Buffer): ReadMessage[] {
  const found: ReadMessage[] = []
  for (let at = 0; at < bytes.length; at += bytes.readInt32BE(at)) {
    const bodyAt = at + 88
    const bodyEnd = bodyAt + bytes.readInt32BE(at + 84)
    const topicEnd = bodyEnd + 1 + bytes.readUInt8(bodyEnd)
    found.push({
      queueId: bytes.readInt32BE(at + 12),
      offset: Number(bytes.readBigInt64BE(at + 20)),
      physicalOffset: Number(bytes.readBigInt64BE(at + 28)),
      topic: bytes.toString('utf8', bodyEnd + 1, topicEnd),
      body: Buffer.from(bytes.subarray(bodyAt, bodyEnd)),
    })
  }
  return found
}
