import { systemClock, systemNetwork } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { parseSetting, resolveOptions, settingNames } from './options.ts'
import { systemDisk } from './store/index.ts'

const outside = { clock: systemClock, network: systemNetwork, disk: systemDisk }
const resolve = (given: object) => resolveOptions({ dataDir: 'data', ...given }, outside)

test('the defaults are what the docstrings say', () => {
  expect(resolve({})).toMatchObject({
    host: '127.0.0.1',
    port: 9876,
    flush: 'sync',
    autoCreateTopic: true,
    transactionTimeoutMs: 6_000,
    transactionCheckIntervalMs: 30_000,
    messageBytesMax: 4_194_304,
    retentionHours: 72,
  })
})

test('text of the command line becomes a value of the right kind', () => {
  expect(parseSetting('flush', 'async')).toEqual({ flush: 'async' })
  expect(parseSetting('autoCreateTopic', 'false')).toEqual({ autoCreateTopic: false })
  expect(parseSetting('retentionHours', '0.5')).toEqual({ retentionHours: 0.5 })
  expect(parseSetting('port', '0')).toEqual({ port: 0 })
})

test.each([
  ['flush', 'sometimes', /"sync" or "async"/],
  ['autoCreateTopic', 'yes', /true or false/],
  ['port', '65536', /0 to 65535/],
  ['port', '', /0 to 65535/],
  ['port', '1e3x', /0 to 65535/],
  ['transactionTimeoutMs', '0', /from 1 to/],
  ['transactionTimeoutMs', '1.5', /whole number/],
  ['host', '', /non-empty/],
  ['colour', 'blue', /no option "colour"; known: acceptDamage/],
  ['constructor', 'x', /no option/],
  ['clock', 'x', /no option/],
])('--set %s=%s is refused and says why', (name, value, why) => {
  expect(() => parseSetting(name, value)).toThrowError(why)
  expect(() => parseSetting(name, value)).toThrowError(expect.objectContaining({ code: 'OPTION_INVALID' }))
})

test('a number is accepted at its bounds and refused beside them', () => {
  for (const value of [1, 86_400_000]) expect(resolve({ transactionTimeoutMs: value }).transactionTimeoutMs).toBe(value)
  for (const value of [0, 86_400_001, Number.NaN, '6000']) {
    expect(() => resolve({ transactionTimeoutMs: value })).toThrowError(/transactionTimeoutMs/)
  }
})

test('an option that does not exist is refused in process too, and undefined means the default', () => {
  expect(() => resolve({ portt: 1 })).toThrowError(/no option "portt"/)
  expect(resolve({ port: undefined }).port).toBe(9876)
})

test('names that could not be topics and segments too small for a message are refused', () => {
  expect(() => resolve({ brokerName: 'a b' })).toThrowError(/brokerName/)
  expect(() => resolve({ segmentBytes: 4 << 20 })).toThrowError(/segmentBytes/)
  expect(settingNames).toContain('brokerName')
})
