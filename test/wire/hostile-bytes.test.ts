import { deflateSync } from 'node:zlib'
import {
  BatchReader,
  commandOf,
  decodeBatch,
  decodeProperties,
  decodeRecord,
  decodeRecords,
  decompressBody,
  FrameSplitter,
  HeaderView,
  parseLenientJson,
  parseOffsetMessageId,
  PropertyName,
  PropertyScan,
  ProtocolError,
  RecordView,
  RequestCode,
} from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { parseRecallHandle } from '../../broker/src/delay/recall-handle.ts'
import { heartbeatOf, SqlExpressions } from '../../broker/src/queueing/index.ts'
import { parseRoute } from '../../packages/client/src/cluster/route.ts'
import { SeededRandom } from '../kit/seeded-random.ts'
import { allGoldenFrames, goldenHashes, goldenRecords } from './golden.ts'
import { attack, type Decoder } from './hostile-bytes.ts'

const frames = allGoldenFrames()

/** One of each kind: small ones, so that every bit is tried. */
function examples<T>(all: readonly T[], kindOf: (one: T) => string, sizeOf: (one: T) => number, most: number): T[] {
  const byKind = new Map<string, T>()
  for (const one of all) {
    const known = byKind.get(kindOf(one))
    if (known === undefined || sizeOf(one) < sizeOf(known)) byKind.set(kindOf(one), one)
  }
  return [...byKind.values()].slice(0, most)
}

const requestBodies = (code: number, most: number): Buffer[] =>
  frames
    .filter((golden) => golden.dir !== 'response' && golden.code === code && golden.body.length > 0)
    .map(({ body }) => body)
    .slice(0, most)

function attackAll(decode: Decoder, vectors: readonly Buffer[]): void {
  expect(vectors.length).toBeGreaterThan(0)
  let tries = 0
  for (const [index, vector] of vectors.entries()) tries += attack(decode, vector, index + 1)
  expect(tries).toBeGreaterThan(200)
}

const view = new HeaderView()
const header: Decoder = (bytes, start, end) => {
  view.scan(bytes, start + 4, end)
  const read: unknown[] = [commandOf(view), view.fieldCount]
  for (let index = 0; index < view.fieldCount; index++) {
    const target = Buffer.alloc(view.valueEnd(index) - view.valueStart(index))
    read.push(view.copyValue(index, target, 0), target.toString('hex'))
    for (const number of ['integer', 'long', 'longClamped', 'flagOf'] as const)
      read.push(codeOf(() => view[number](index)))
  }
  return read
}

function codeOf(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    if (error instanceof ProtocolError) return error.code
    throw error
  }
}

const smallest = (binary: 0 | 1): Buffer[] =>
  examples(
    frames.filter(({ frame }) => frame[4] === binary),
    ({ dir, code, request }) => `${dir} ${request ?? code}`,
    ({ frame }) => frame.length,
    7,
  ).map(({ frame }) => frame)

test('JSON headers: every cut and every bit', () => {
  attackAll(header, smallest(0))
}, 60_000)

test('binary headers: every cut and every bit', () => {
  attackAll(header, smallest(1))
}, 60_000)

test('frames: a stream with any bit flipped gives frames or a coded error, however it is cut', () => {
  const splitInto = (bytes: Buffer, start: number, end: number, piece: number): string[] => {
    const found: string[] = []
    const splitter = new FrameSplitter({
      onFrame: (all, from, to) => void found.push(all.toString('latin1', from, to)),
    })
    for (let at = start; at < end; at += piece) splitter.push(bytes, at, Math.min(end, at + piece))
    return [...found, `${splitter.bufferedBytes} left`]
  }
  const random = new SeededRandom(5)
  const split: Decoder = (bytes, start, end) => {
    const whole = codeOf(() => splitInto(bytes, start, end, end - start + 1))
    expect(codeOf(() => splitInto(bytes, start, end, random.between(1, 50)))).toEqual(whole)
    return whole
  }
  const [first, second] = [...smallest(0), ...smallest(1)].toSorted((a, b) => a.length - b.length)
  attackAll(split, [Buffer.concat([first ?? Buffer.alloc(0), second ?? Buffer.alloc(0)])])
})

test('frames: split at every byte, they are the same frames', () => {
  for (const frame of [...smallest(0), ...smallest(1)]) {
    for (let cut = 0; cut <= frame.length; cut++) {
      const found: Buffer[] = []
      const splitter = new FrameSplitter({
        onFrame: (bytes, start, end) => void found.push(Buffer.from(bytes.subarray(start, end))),
      })
      splitter.push(frame, 0, cut)
      expect(found).toHaveLength(cut === frame.length ? 1 : 0)
      splitter.push(frame, cut, frame.length)
      expect(found[0]?.equals(frame.subarray(4))).toBe(true)
    }
  }
})

test('stored records: every cut and every bit', () => {
  const records = examples(
    goldenRecords(),
    ({ decoded }) => `${decoded.topic} ${decoded.sysFlag}`,
    ({ record }) => record.length,
    12,
  )
  const record: Decoder = (bytes, start, end) => {
    const own = bytes.subarray(start, end)
    const seen = new RecordView()
    const isThere = seen.at(own, 0)
    const values = isThere
      ? [
          seen.topic(),
          seen.queueId,
          seen.queueOffset,
          seen.physicalOffset,
          seen.storeTimestamp,
          seen.validate(),
          seen.checksum(),
        ]
      : []
    return [isThere, values, codeOf(() => decodeRecord(own)), codeOf(() => decodeRecords(own))]
  }
  attackAll(
    record,
    records.map((golden) => golden.record),
  )
})

test('property strings: every cut and every bit', () => {
  const scan = new PropertyScan()
  const properties: Decoder = (bytes, start, end) => {
    scan.scan(bytes, start, end)
    const { tagsStart, tagsEnd, keysStart, keysEnd, uniqKeyStart, uniqKeyEnd, delayStart, delayEnd } = scan
    const places = [tagsStart, tagsEnd, keysStart, keysEnd, uniqKeyStart, uniqKeyEnd, delayStart, delayEnd]
    for (const place of places) if (place > end || (place >= 0 && place < start)) throw new Error('a place outside')
    return [decodeProperties(bytes, start, end), places]
  }
  const texts = goldenHashes<{ text: string }>('properties').map(({ text }) => Buffer.from(text))
  const stored = goldenRecords()
    .slice(0, 8)
    .map(({ decoded }) =>
      Buffer.from(
        Object.entries(decoded.properties)
          .map(([name, value]) => `${name}\x01${value}\x02`)
          .join(''),
      ),
    )
  expect(stored.some((text) => text.includes(PropertyName.UNIQ_KEY))).toBe(true)
  attackAll(properties, [...texts, ...stored])
})

test('batches: every cut and every bit', () => {
  const batch: Decoder = (bytes, start, end) => {
    const reader = new BatchReader()
    reader.open(bytes, start, end)
    const walked = codeOf(() => {
      let count = 0
      while (reader.next()) {
        count++
        if (reader.propertiesEnd > end || reader.bodyStart < start || reader.bodyEnd < reader.bodyStart)
          throw new Error('a place outside')
      }
      return count
    })
    return [walked, codeOf(() => decodeBatch(bytes.subarray(start, end)))]
  }
  attackAll(batch, [
    ...goldenHashes<{ hex: string }>('batchBody').map(({ hex }) => Buffer.from(hex, 'hex')),
    ...requestBodies(RequestCode.SEND_BATCH_MESSAGE, 6),
  ])
})

const textDecoder =
  (parse: (text: string) => unknown): Decoder =>
  (bytes, start, end) =>
    parse(bytes.toString('utf8', start, end))

test('message ids and recall handles: every cut and every bit', () => {
  attackAll(
    textDecoder(parseOffsetMessageId),
    goldenHashes<{ id: string }>('messageId').map(({ id }) => Buffer.from(id)),
  )
  attackAll(
    textDecoder(parseRecallHandle),
    goldenHashes<{ handle: string }>('recallHandle').map(({ handle }) => Buffer.from(handle)),
  )
})

test('JSON bodies in the dialect of fastjson: every cut and every bit', () => {
  const bodies = frames.filter(({ dir, body }) => dir === 'response' && /^[{[]/.test(body.toString('latin1')))
  const vectors = examples(
    bodies,
    ({ request }) => `${request}`,
    ({ body }) => body.length,
    30,
  ).map(({ body }) => body)
  attackAll(textDecoder(parseLenientJson), vectors)
}, 60_000)

test('heartbeats and their subscriptions, and routes: every cut and every bit', () => {
  const sql = new SqlExpressions({ enabled: true })
  const heartbeats = requestBodies(RequestCode.HEART_BEAT, 200)
  const few = examples(
    heartbeats,
    (body) => `${body.includes('SQL92')} ${body.includes('TAG')} ${body.includes('withoutSub":true')}`,
    (body) => body.length,
    6,
  )
  attackAll(
    textDecoder((text) => heartbeatOf(parseLenientJson(text), sql).clientId),
    few,
  )
  const routes = frames.filter(
    ({ dir, request, code }) => dir === 'response' && request === RequestCode.GET_ROUTEINFO_BY_TOPIC && code === 0,
  )
  const vectors = examples(
    routes,
    ({ body }) => `${body.length >> 5}`,
    ({ body }) => body.length,
    5,
  ).map(({ body }) => body)
  attackAll((bytes, start, end) => parseRoute('t', bytes.subarray(start, end)).signature, vectors)
}, 60_000)

test('compressed bodies: every cut and every bit, never more than the limit', () => {
  const body = deflateSync(Buffer.from('compressed '.repeat(50)))
  const inflate: Decoder = (bytes, start, end) => {
    const inflated = decompressBody(bytes.subarray(start, end), 1, 10_000)
    if (inflated.length > 10_000) throw new Error('above the limit')
    return inflated.length
  }
  attackAll(inflate, [body])
  expect(() => decompressBody(deflateSync(Buffer.alloc(10_001)), 1, 10_000)).toThrow(/BODY_INVALID/)
})
