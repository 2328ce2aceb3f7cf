import { existsSync, readdirSync, readFileSync } from 'node:fs'
import {
  BLANK_MAGIC,
  decodeRecord,
  javaStringHash,
  parseLenientJson,
  RecordView,
  type StoredMessage,
  SysFlag,
  tagHash,
} from '@tandemmq/protocol'
import { describe, expect, test } from 'vitest'

// Files of an Apache broker that was stopped (layouts: broker.md 1.2 to 1.6). `store-rolled` has commit log files of 4096 bytes, consume
// queue files of 10 units and index files of 20 entries: what the end of a file looks like. Zeroes at the ends were cut.

interface Listed {
  physicalOffset: number
  size: number
  topic: string
  queueId: number
  queueOffset: number
}

const folderOf = (store: string): URL => new URL(`./fixtures/${store}/`, import.meta.url)
const linesOf = <Row>(folder: URL, file: string): Row[] =>
  readFileSync(new URL(file, folder), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row)
const numbered = (folder: URL): [number, Buffer][] =>
  readdirSync(folder)
    .toSorted()
    .map((name) => [Number(name), readFileSync(new URL(encodeURIComponent(name), folder))])

/** Every record of the commit log by its physical offset, and the offsets at which files are filled up. */
function commitLog(folder: URL): { records: Map<number, StoredMessage>; blanks: number[] } {
  const records = new Map<number, StoredMessage>()
  const blanks: number[] = []
  const view = new RecordView()
  for (const [base, bytes] of numbered(new URL('commitlog/', folder))) {
    for (let at = 0; at + 8 <= bytes.length && bytes.readInt32BE(at) > 0; at += bytes.readInt32BE(at)) {
      if (bytes.readUInt32BE(at + 4) === BLANK_MAGIC) {
        blanks.push(base + at)
        break
      }
      expect(view.at(bytes, at) && view.validate(), `record at ${base + at}`).toBe(true)
      records.set(base + at, decodeRecord(bytes, at))
    }
  }
  return { records, blanks }
}

const UNIT_BYTES = 20
const INDEX_HEADER_BYTES = 40
const ENTRY_BYTES = 20

interface IndexFile {
  beginTime: number
  endTime: number
  entries: { hash: number; physicalOffset: number; seconds: number; previous: number }[]
  slots: number[]
}

function indexFile(kept: Buffer, slotCount: number): IndexFile {
  // The zeroes at its end were cut.
  const bytes = Buffer.concat([kept, Buffer.alloc(ENTRY_BYTES)])
  const at = (position: number): number => Number(bytes.readBigInt64BE(position))
  const start = INDEX_HEADER_BYTES + 4 * slotCount
  // Entry 0 is never used; the count is one ahead.
  const entries = Array.from({ length: bytes.readInt32BE(36) - 1 }, (_, n) => {
    const entry = start + (n + 1) * ENTRY_BYTES
    return {
      hash: bytes.readInt32BE(entry),
      physicalOffset: at(entry + 4),
      seconds: bytes.readInt32BE(entry + 12),
      previous: bytes.readInt32BE(entry + 16),
    }
  })
  const slots = Array.from({ length: slotCount }, (_, n) => bytes.readInt32BE(INDEX_HEADER_BYTES + 4 * n))
  return { beginTime: at(0), endTime: at(8), entries, slots }
}

const keyHash = (topic: string, key: string): number => Math.abs(javaStringHash(`${topic}#${key}`))

describe.each(['store', 'store-rolled'])('%s', (store) => {
  const folder = folderOf(store)
  const { records, blanks } = commitLog(folder)

  test('the commit log is whole records in a row, and what fills up a file is known as such', () => {
    const listed = linesOf<Partial<Listed> & { size: number }>(folder, 'messages.jsonl').filter(
      ({ topic }) => topic !== undefined,
    )
    expect(
      [...records].map(([offset, { totalSize, topic, queueId, queueOffset }]) => ({
        offset,
        totalSize,
        topic,
        queueId,
        queueOffset: Number(queueOffset),
      })),
    ).toEqual(
      listed.map(({ physicalOffset, size, topic, queueId, queueOffset }) => ({
        offset: physicalOffset,
        totalSize: size,
        topic,
        queueId,
        queueOffset,
      })),
    )
    for (const [offset, message] of records) expect(Number(message.physicalOffset)).toBe(offset)
    expect(blanks.length).toBe(store === 'store' ? 0 : 3)
  })

  test('each unit of a consume queue points at its record, and its code is the hash of the tag or the time of delivery', () => {
    const listed = linesOf<Listed & { tagsCode: string }>(folder, 'consumequeue.jsonl')
    let units = 0
    for (const topic of readdirSync(new URL('consumequeue/', folder))) {
      const queues = new URL(`consumequeue/${encodeURIComponent(topic)}/`, folder)
      for (const queueId of readdirSync(queues)) {
        for (const [base, bytes] of numbered(new URL(`${queueId}/`, queues))) {
          for (let at = 0; at + UNIT_BYTES <= bytes.length; at += UNIT_BYTES) {
            const [physicalOffset, size, code] = [
              Number(bytes.readBigInt64BE(at)),
              bytes.readInt32BE(at + 8),
              bytes.readBigInt64BE(at + 12),
            ]
            const queueOffset = (base + at) / UNIT_BYTES
            const message = records.get(physicalOffset)
            if (size === 0) continue
            units++
            expect(message).toMatchObject({
              topic,
              queueId: Number(queueId),
              queueOffset: BigInt(queueOffset),
              totalSize: size,
            })
            expect(listed).toContainEqual({
              topic,
              queueId: Number(queueId),
              queueOffset,
              physicalOffset,
              size,
              tagsCode: `${code}`,
            })
            const tag = Buffer.from(message?.properties['TAGS'] ?? '')
            if (topic === 'SCHEDULE_TOPIC_XXXX') expect(Number(code)).toBeGreaterThan(message?.storeTimestamp ?? 0)
            else expect(code).toBe(BigInt(tag.length === 0 ? 0 : tagHash(tag)))
          }
        }
      }
    }
    expect(units).toBe(listed.length)
  })

  test('the index finds every message by its unique key and by each of its keys', () => {
    const { config } = JSON.parse(readFileSync(new URL('files.json', folder), 'utf8')) as {
      config: { maxHashSlotNum: number }
    }
    const files = numbered(new URL('index/', folder)).map(([, bytes]) => indexFile(bytes, config.maxHashSlotNum))
    const find = (topic: string, key: string): number[] => {
      const hash = keyHash(topic, key)
      return files.flatMap(({ slots, entries }) => {
        const found: number[] = []
        for (let n = slots[hash % slots.length] ?? 0; n > 0; n = entries[n - 1]?.previous ?? 0) {
          const entry = entries[n - 1]
          if (entry?.hash === hash) found.push(entry.physicalOffset)
        }
        return found
      })
    }
    let keys = 0
    for (const [offset, { topic, properties, sysFlag }] of records) {
      if ((sysFlag & SysFlag.TRANSACTION_MASK) === SysFlag.TRANSACTION_ROLLBACK) continue
      const words = [properties['UNIQ_KEY'], ...(properties['KEYS'] ?? '').split(' ')].filter(
        (key) => key !== undefined && key !== '',
      )
      for (const key of words as string[]) {
        keys++
        expect(find(topic, key), `${topic} ${key}`).toContain(offset)
      }
    }
    expect(keys).toBe(files.reduce((sum, { entries }) => sum + entries.length, 0))
  })

  test('the checkpoint holds the times of the last records that were safe', () => {
    const bytes = readFileSync(new URL('checkpoint', folder))
    const [physical, logics, index] = [0, 8, 16].map((at) => Number(bytes.readBigInt64BE(at)))
    const last = Math.max(...[...records.values()].map(({ storeTimestamp }) => storeTimestamp))
    expect([physical, logics]).toEqual([last, last])
    // Only a full index file is flushed.
    expect(index === 0).toBe(store === 'store')
  })

  test('every settings file is understood', () => {
    const config = new URL('config/', folder)
    for (const name of readdirSync(config).filter((file) => file.endsWith('.json'))) {
      const text = readFileSync(new URL(name, config), 'utf8')
      expect(parseLenientJson(text), name).toBeTypeOf('object')
    }
    const topics = parseLenientJson(readFileSync(new URL('topics.json', config), 'utf8')) as {
      topicConfigTable: Record<string, { topicName: string }>
    }
    for (const [name, { topicName }] of Object.entries(topics.topicConfigTable)) expect(topicName).toBe(name)
    expect(existsSync(new URL('consumerOffset.json', config))).toBe(true)
  })
})
