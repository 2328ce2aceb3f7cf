import { crc32Of } from '@tandemmq/protocol'

/** Under which number a key of a topic is in the index; what matches is verified against the record. */
export function keyHash(
  topic: Buffer,
  topicStart: number,
  topicEnd: number,
  key: Buffer,
  start: number,
  end: number,
): number {
  return crc32Of(key, start, end, crc32Of(topic, topicStart, topicEnd)) >>> 0
}
