import {
  decodeBatch,
  decodeCommand,
  decodeProperties,
  decodeRecords,
  encodeBatch,
  encodeCommand,
  FrameSplitter,
  languageName,
  parseLenientJson,
  type RemotingCommand,
  RequestCode,
} from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { allGoldenFrames, goldenFrames } from './golden.ts'

const frames = allGoldenFrames()

function plain(command: RemotingCommand): unknown {
  return { ...command, extFields: { ...command.extFields } }
}

test('every recorded JSON frame decodes to what its header says', () => {
  const json = frames.filter(({ frame }) => frame[4] === 0)
  expect(json.length).toBeGreaterThan(2_000)
  for (const { frame, header, body } of json) {
    const expected = JSON.parse(header.toString())
    const command = decodeCommand(frame)
    expect({ ...command.extFields }).toEqual(expected.extFields ?? {})
    expect({ ...command, extFields: undefined, language: languageName(command.language) }).toEqual({
      code: expected.code,
      flag: expected.flag,
      opaque: expected.opaque,
      version: expected.version,
      language: expected.language,
      serialization: 0,
      extFields: undefined,
      body,
      ...(expected.remark === undefined ? {} : { remark: expected.remark }),
    })
  }
})

test('every recorded binary frame decodes to the code, opaque and body the recorder saw, and re-encodes to the same', () => {
  const binary = frames.filter(({ frame }) => frame[4] === 1)
  expect(binary.length).toBeGreaterThan(150)
  for (const golden of binary) {
    const command = decodeCommand(golden.frame)
    expect([command.serialization, command.opaque, command.body]).toEqual([1, golden.opaque, golden.body])
    // The recorder shows a POP code as it was meant; on the wire it is cut to 16 bits.
    if (golden.dir !== 'response') expect(command.code & 0xffff).toBe(golden.code & 0xffff)
    const again = encodeCommand(command)
    expect(again.length).toBe(golden.frame.length)
    expect(plain(decodeCommand(again))).toEqual(plain(command))
  }
})

test('a JSON frame that is decoded and encoded again has equal fields', () => {
  for (const { frame } of frames) {
    const command = decodeCommand(frame)
    expect(plain(decodeCommand(encodeCommand({ ...command, serialization: 0 })))).toEqual({
      ...(plain(command) as object),
      serialization: 0,
    })
  }
})

test('the recorded frames come out of one stream whatever its pieces', () => {
  const wire = Buffer.concat(frames.map(({ frame }) => frame))
  for (const size of [1, 3, 1_460, 65_536]) {
    let count = 0
    const splitter = new FrameSplitter({
      onFrame(bytes, start, end) {
        const expected = frames[count++]?.frame as Buffer
        if (bytes.compare(expected, 4, expected.length, start, end) !== 0) throw new Error(`frame ${count} differs`)
      },
    })
    for (let at = 0; at < wire.length; at += size) splitter.push(wire, at, Math.min(at + size, wire.length))
    expect([count, splitter.bufferedBytes]).toEqual([frames.length, 0])
  }
})

test('the bodies of recorded pull answers are whole records', () => {
  const pulls = frames.filter(
    ({ dir, request, code, body }) => dir === 'response' && request === 11 && code === 0 && body.length > 0,
  )
  expect(pulls.length).toBeGreaterThan(50)
  for (const { body } of pulls) {
    for (const message of decodeRecords(body))
      expect(message.properties['UNIQ_KEY'] ?? message.offsetMessageId).toBeTruthy()
  }
})

test('recorded batches are read and written byte for byte', () => {
  const batches = frames.filter(({ dir, code }) => dir === 'request' && code === RequestCode.SEND_BATCH_MESSAGE)
  expect(batches.length).toBeGreaterThan(2)
  for (const { body } of batches) {
    const entries = decodeBatch(body).map(({ flag, bodyStart, bodyEnd, propertiesStart, propertiesEnd }) => ({
      flag,
      body: body.subarray(bodyStart, bodyEnd),
      properties: body.subarray(propertiesStart, propertiesEnd),
    }))
    expect(entries.length).toBeGreaterThan(0)
    for (const { properties } of entries) expect(decodeProperties(properties)['UNIQ_KEY']).toMatch(/^[0-9A-F]{32,56}$/)
    expect(encodeBatch(entries)).toEqual(body)
  }
})

test('every recorded JSON body is understood, fastjson dialect included', () => {
  let plainJson = 0
  let dialect = 0
  for (const { body } of frames) {
    const text = body.toString('utf8')
    if (!/^[{[]/.test(text) || !/[}\]]$/.test(text)) continue
    const parsed = JSON.stringify(parseLenientJson(text))
    try {
      expect(JSON.parse(parsed)).toEqual(JSON.parse(text))
      plainJson++
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      dialect++
    }
  }
  expect(plainJson).toBeGreaterThan(400)
  expect(dialect).toBeGreaterThan(5)
})

test('a code sent with a binary header above 32767 arrives cut off, as between stock peers', () => {
  const [pop] = goldenFrames('pop-empty.5.3.3-binary.jsonl').filter(
    ({ frame, dir }) => frame[4] === 1 && dir === 'request',
  )
  expect(pop === undefined ? undefined : decodeCommand(pop.frame).code).toBeDefined()
  const codes = goldenFrames('pop-empty.5.3.3-binary.jsonl').map(({ frame }) => decodeCommand(frame).code)
  expect(codes).toContain(RequestCode.POP_MESSAGE & 0xffff)
})
