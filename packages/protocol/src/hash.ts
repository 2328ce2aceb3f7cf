/** Java's String.hashCode: 31 * hash + UTF-16 unit, wrapped to signed 32 bits. */
export function javaStringHash(text: string): number {
  let hash = 0
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0
  return hash
}

/** The same for a tag given as UTF-8 bytes: what the consume queue and subscriptions hold for it. */
export function tagHash(bytes: Buffer, start = 0, end = bytes.length): number {
  let hash = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte >= 0x80) return javaStringHash(bytes.toString('utf8', start, end))
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  return hash
}
