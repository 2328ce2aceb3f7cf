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
