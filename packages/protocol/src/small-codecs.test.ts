import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { COMPRESSED_SYS_FLAG, compressBody, decompressBody } from './compression.ts'
import { DEFAULT_DELAY_LEVELS, parseDelayLevels } from './delay-level.ts'
import { javaStringHash, tagHash } from './hash.ts'
import { deadLetterTopic, groupNameProblem, isSystemTopic, retryTopic, SystemTopic, topicNameProblem } from './names.ts'
import { SysFlag } from './sys-flag.ts'

test('tag hashes are those of Java', () => {
  for (const [tag, hash] of Object.entries({
    TagA: 2598919,
    TagB: 2598920,
    a: 97,
    '*': 42,
    中文: 646394,
    AaBB: 2031744,
    BBAa: 2031744,
  })) {
    expect([
      javaStringHash(tag),
      tagHash(Buffer.from(tag)),
      tagHash(Buffer.from(`x${tag}y`), 1, 1 + Buffer.byteLength(tag)),
    ]).toEqual([hash, hash, hash])
  }
})

test('a compressed body comes back, an uncompressed one is handed through', () => {
  const body = Buffer.from('body '.repeat(2_000))
  expect(decompressBody(compressBody(body), COMPRESSED_SYS_FLAG, body.length)).toEqual(body)
  expect(decompressBody(compressBody(body), SysFlag.COMPRESSED, body.length)).toEqual(body)
  expect(decompressBody(body, 0, 1)).toBe(body)
})

test('a body that inflates above the limit, is damaged or of another type is refused', () => {
  const bomb = deflateSync(Buffer.alloc(1 << 20))
  expect(decompressBody(bomb, 1, 1 << 20)).toHaveLength(1 << 20)
  expect(() => decompressBody(bomb, 1, (1 << 20) - 1)).toThrow(/BODY_INVALID/)
  expect(() => decompressBody(bomb.subarray(0, -1), 1, 1 << 20)).toThrow(/BODY_INVALID/)
  expect(() => decompressBody(bomb, SysFlag.COMPRESSED | SysFlag.COMPRESSION_LZ4, 1 << 20)).toThrow(
    /BODY_INVALID.*0x100/,
  )
})

test('delay levels are parsed strictly', () => {
  expect(DEFAULT_DELAY_LEVELS).toHaveLength(18)
  expect([DEFAULT_DELAY_LEVELS[0], DEFAULT_DELAY_LEVELS[2], DEFAULT_DELAY_LEVELS[17]]).toEqual([
    1_000, 10_000, 7_200_000,
  ])
  expect(parseDelayLevels('1s 2m 3h 4d')).toEqual([1_000, 120_000, 10_800_000, 345_600_000])
  for (const text of ['', '1', '1x', '1ms', '1s  2s', ' 1s', '-1s', '1.5s'])
    expect(() => parseDelayLevels(text)).toThrow(/OPTION_INVALID/)
})

test('names are allowed up to their limit and refused above', () => {
  expect(topicNameProblem('t'.repeat(127))).toBeUndefined()
  expect(topicNameProblem('t'.repeat(128))).toMatch(/127/)
  expect(topicNameProblem(retryTopic('g'.repeat(255)))).toBeUndefined()
  expect(topicNameProblem(retryTopic('g'.repeat(256)))).toMatch(/262/)
  expect(topicNameProblem(deadLetterTopic('g'.repeat(255)))).toBeUndefined()
  expect(groupNameProblem('g'.repeat(255))).toBeUndefined()
  expect(groupNameProblem('g'.repeat(256))).toMatch(/255/)
  for (const name of ['', ' ', 'a b', 'größe', 'a\n', 'a..b', '.a', 'a.']) {
    expect(topicNameProblem(name)).toBeDefined()
    expect(groupNameProblem(name)).toBeDefined()
  }
  // Single dots inside are ours: Apache brokers refuse such a topic.
  expect([topicNameProblem('stock.level'), typeof groupNameProblem('stock.level')]).toEqual([undefined, 'string'])
  expect([isSystemTopic(SystemTopic.HALF), isSystemTopic('rmq_sys_x'), isSystemTopic('orders')]).toEqual([
    true,
    true,
    false,
  ])
})
