import { decodeRecords, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { frameAround, NonsenseWorld, pullOf, sendOf } from '../../kit/nonsense-world.ts'

// Lines 23 to 34 of the catalogue (README.md beside this file). 106 is GET_BROKER_CLUSTER_INFO, which needs no field.

const OK = ResponseCode.SUCCESS
const INVALID = 29
let world: NonsenseWorld

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

const refused = (header: string | Uint8Array): Promise<void> =>
  world.expectClosed(frameAround(0, header), 'HEADER_INVALID')

/** The header is understood: the answer, on a connection that stays. */
async function answered(
  header: string,
  body?: Uint8Array,
): ReturnType<Awaited<ReturnType<NonsenseWorld['raw']>>['ask']> {
  const client = await world.raw()
  client.write(frameAround(0, header, body))
  const answer = await client.answer()
  await world.expectAlive(client)
  client.end()
  return answer
}

/** As JSON.stringify, but `extFields` is given as text. */
const sendWith = (extFields: string): string => `{"code":310,"opaque":5,"version":441,"extFields":${extFields}}`
const fields = JSON.stringify(sendOf().extFields)

test('C.3-23: a JSON header cut anywhere ends its connection alone', async () => {
  const whole = '{"code":106,"extFields":{"a":"x\\u0001"},"flag":0,"language":"JAVA","opaque":1,"version":441}'
  expect(await answered(whole)).toMatchObject({ code: OK })
  for (let cut = 0; cut < whole.length; cut++) await refused(whole.slice(0, cut))
})

test('C.3-24: 100,000 arrays inside each other end their connection alone', async () => {
  const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
  await refused(deep(100_000))
  await refused(`{"code":106,"extFields":{"a":${deep(100_000)}}}`)
  // Below the limit of what is parsed the slow way, still deeper than the stack of a recursive writer.
  await refused(`{"code":106,"extFields":{"a":${deep(32_000)}}}`)
  await refused(`{"code":106,"extra":${'{"a":'.repeat(30_000)}`)
})

test('C.3-24: a body of 100,000 arrays inside each other is refused with a code', async () => {
  const body = Buffer.from('['.repeat(100_000) + ']'.repeat(100_000))
  for (const code of [RequestCode.HEART_BEAT, RequestCode.LOCK_BATCH_MQ, RequestCode.CHECK_CLIENT_CONFIG]) {
    await world.expectAnswer({ code, body }, { code: INVALID, remark: expect.stringContaining('[FIELD_INVALID]') })
  }
})

test('C.3-25: a field name of 10 MB is passed over', async () => {
  expect(await answered(`{"code":106,"extFields":{"${'k'.repeat(10_000_000)}":"x"}}`)).toMatchObject({ code: OK })
  expect(await answered(`{"code":11,"extFields":{"${'k'.repeat(10_000_000)}":"x"}}`)).toMatchObject({ code: 1 })
})

test('C.3-26: of a repeated member the last one counts, as for Java', async () => {
  expect(await answered('{"code":9999,"opaque":1,"code":106,"opaque":2}')).toMatchObject({ code: OK, opaque: 2 })
  expect(await answered('{"code":106,"opaque":1,"code":9999}')).toMatchObject({ code: 3 })
})

test.each(['1e308', 'NaN', 'null', '{}', '[106]', 'true', '"x"', '""', '106.5', '1e999', '4294967402', '-0.5'])(
  'C.3-27: the code %s ends its connection alone',
  async (code) => {
    await refused(`{"code":${code}}`)
  },
)

test('C.3-27: a code as text is the number in it, as for Java', async () => {
  expect(await answered('{"code":"106"}')).toMatchObject({ code: OK })
})

test.each(['2147483648', '-2147483649', '1.5', '"x"', '[]', '1e300'])(
  'C.3-28: the opaque %s ends its connection alone',
  async (opaque) => {
    await refused(`{"code":106,"opaque":${opaque}}`)
  },
)

test.each([-1, 0, 2_147_483_647, -2_147_483_648])('C.3-28: the opaque %i is answered as it came', async (opaque) => {
  expect(await answered(`{"code":106,"opaque":${opaque}}`)).toMatchObject({ code: OK, opaque })
})

test.each(['[]', '["a"]', '"a"', '7', 'true'])('C.3-29: extFields as %s end their connection alone', async (value) => {
  await refused(`{"code":106,"extFields":${value}}`)
})

test('C.3-29: a million fields end their connection alone', async () => {
  const many = Array.from({ length: 1_000_000 }, (_, n) => `"k${n}":""`)
  await refused(`{"code":106,"extFields":{${many.join(',')}}}`)
})

test('C.3-29: extFields of null are none, and a nested object is the text of it', async () => {
  expect(await answered('{"code":106,"extFields":null}')).toMatchObject({ code: OK })
  const nested = await answered(sendWith(fields.replace('"nonsense"', '{"a":{"b":1}}')))
  expect(nested).toMatchObject({ code: INVALID, remark: expect.stringContaining('[TOPIC_NAME_INVALID]') })
})

const prototypeNames = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__']

test('C.3-30: fields, properties, topics and groups named like members of Object are just names', async () => {
  const client = await world.raw()
  const named = prototypeNames.map((name) => `${name}\x01polluted\x02`).join('')
  for (const name of prototypeNames) {
    const ext = JSON.stringify({ ...sendOf({ b: name, i: named, e: '0' }).extFields, other: 'x' })
    client.write(frameAround(0, sendWith(ext.replace('"other"', JSON.stringify(name))), Buffer.from('x')))
    expect(await client.answer()).toMatchObject({ code: OK })
    const pulled = await client.ask(pullOf({ topic: name, consumerGroup: name }))
    expect(pulled?.code).toBe(OK)
    const [message] = decodeRecords(pulled?.body ?? Buffer.alloc(0))
    for (const property of prototypeNames) expect(message?.properties[property]).toBe('polluted')
    const put = { namespace: name, key: name, value: 'polluted' }
    expect(await client.ask({ code: RequestCode.PUT_KV_CONFIG, extFields: put })).toMatchObject({ code: OK })
  }
  const body = Buffer.from('{"clientID":"c","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')
  expect(await client.ask({ code: RequestCode.HEART_BEAT, body })).toMatchObject({ code: OK })
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  expect(Object.prototype.hasOwnProperty.call(Object.prototype, 'polluted')).toBe(false)
})

test('C.3-31: bytes that are no UTF-8 end their connection alone', async () => {
  for (const bytes of [[0xc0, 0x80], [0xff], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    const header = Buffer.concat([
      Buffer.from('{"code":106,"extFields":{"a":"'),
      Buffer.from(bytes),
      Buffer.from('"}}'),
    ])
    await refused(header)
  }
})

test('C.3-31: a byte order mark and a raw control character end their connection alone', async () => {
  await refused('\ufeff{"code":106}')
  await refused('{"code":106,"extFields":{"a":"x\0y"}}')
  await refused('{"code":106,"remark":"x\x07y"}')
})

test.each(['\\ud800', '\\udc00', 'a\\u0000b', '\\ud83d'])(
  'C.3-31: the topic name "%s" is refused with a code',
  async (name) => {
    const answer = await answered(sendWith(fields.replace('"nonsense"', `"${name}"`)), Buffer.from('x'))
    expect(answer).toMatchObject({ code: INVALID, remark: expect.stringContaining('[TOPIC_NAME_INVALID]') })
  },
)

test('C.3-32: a type name for fastjson is a field like any other', async () => {
  const gadget = '"@type":"com.sun.rowset.JdbcRowSetImpl","dataSourceName":"ldap://127.0.0.1:1/x","autoCommit":true'
  expect(await answered(`{${gadget},"code":106}`)).toMatchObject({ code: OK })
  expect(await answered(`{"code":106,"extFields":{${gadget}}}`)).toMatchObject({ code: OK })
  const body = Buffer.from(`{${gadget},"clientID":"c","consumerDataSet":[{${gadget},"groupName":"gadget"}]}`)
  expect(await answered('{"code":34}', body)).toMatchObject({ code: OK })
})

test('C.3-33: numbers of 10,000 digits are refused, not rounded', async () => {
  const digits = '9'.repeat(10_000)
  await refused(`{"code":${digits}}`)
  await refused(`{"code":106,"version":${digits}}`)
  for (const value of [`"${digits}"`, digits, `-${digits}`]) {
    const answer = await answered(sendWith(fields.replace('"e":"0"', `"e":${value}`)), Buffer.from('x'))
    expect(answer).toMatchObject({ code: INVALID, remark: expect.stringContaining('[FIELD_INVALID]') })
  }
})

test.each([
  '{"code":106,}',
  '{"code":106,"extFields":{"a":"b",}}',
  '{"code":106 /* all of them */}',
  '{"code":106} // all of them',
  "{'code':106}",
  '{code:106}',
  '{"code":0x6a}',
  '{"code":+106}',
  '{"code":106}{"code":106}',
])('C.3-34: %s is no JSON and ends its connection alone', async (header) => {
  await refused(header)
})
