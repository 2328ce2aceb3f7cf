import { decodeProperties } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { jsonSpelling, type OutgoingMessage, plainSpelling, spellProperties } from './message.ts'

const nasty = ['plain', 'żółw', '🐢', '"', '\\', '\n\t\u0000', '\u007f', '\u2028', '</script>', '\\u0001', 'a b']

test('both spellings of a property list mean the same, whatever the text', () => {
  for (const text of nasty) {
    const message: OutgoingMessage = {
      topic: 't',
      body: 'x',
      tag: text,
      keys: [text, 'k'],
      orderBy: text,
      dedupKey: text,
      properties: { [`n${text}`]: text },
    }
    const plain = spellProperties(message, 'ID', plainSpelling)
    const json = spellProperties(message, 'ID', jsonSpelling)
    expect(JSON.parse(`"${json}"`), JSON.stringify(text)).toBe(plain)
    expect(decodeProperties(Buffer.from(plain))).toMatchObject({
      UNIQ_KEY: 'ID',
      TAGS: text,
      KEYS: `${text} k`,
      DEDUP_KEY: text,
      [`n${text}`]: text,
    })
  }
})

test('a lone surrogate does not break the header', () => {
  const json = spellProperties({ topic: 't', body: 'x', properties: { a: '\ud800' } }, 'ID', jsonSpelling)
  expect(Buffer.from(json).toString()).toBe(json)
})

test('delays become the property a broker understands, and only one of them', () => {
  const of = (message: Partial<OutgoingMessage>): Record<string, string> =>
    decodeProperties(Buffer.from(spellProperties({ topic: 't', body: 'x', ...message }, 'ID', plainSpelling)))
  expect(of({ delayMs: 1_500.2 })).toMatchObject({ TIMER_DELAY_MS: '1501' })
  expect(of({ deliverAt: new Date(1_700_000_000_000) })).toMatchObject({ TIMER_DELIVER_MS: '1700000000000' })
  expect(of({ delayLevel: 3 })).toMatchObject({ DELAY: '3' })
})

test('a priority is a whole number of at least 0, by the name Apache gives it, and not beside an order', () => {
  const of = (message: Partial<OutgoingMessage>): string =>
    spellProperties({ topic: 't', body: 'x', ...message }, 'ID', plainSpelling)
  expect(decodeProperties(Buffer.from(of({ priority: 0 })))).toMatchObject({ _SYS_MSG_PRIORITY_: '0' })
  expect(of({})).not.toContain('PRIORITY')
  for (const priority of [-1, 1.5, Number.NaN]) {
    expect(() => of({ priority })).toThrow(expect.objectContaining({ code: 'MESSAGE_ILLEGAL' }))
  }
  expect(() => of({ priority: 1, orderBy: 'k' })).toThrow('one of orderBy and priority')
  expect(() => of({ properties: { _SYS_MSG_PRIORITY_: '1' } })).toThrow('set by the client')
})
