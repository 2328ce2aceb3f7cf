import { encodeCommand, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { frameAround, NonsenseWorld, pullOf, sendOf, u32 } from '../../kit/nonsense-world.ts'

// Lines 35 to 41 of the catalogue (README.md beside this file).

const OK = ResponseCode.SUCCESS
let world: NonsenseWorld

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

const u16 = (value: number): Buffer => u32(value >>> 0).subarray(2)
const i32 = (value: number): Buffer => u32(value >>> 0)

/** The parts of a ROCKETMQ header as they lie on the wire; lengths may lie. */
interface Parts {
  code?: number
  language?: number
  version?: number
  opaque?: number
  flag?: number
  remarkLength?: number
  remark?: string
  extLength?: number
  ext?: Buffer
}

function headerOf(parts: Parts): Buffer {
  const { code = 106, language = 0, version = 441, opaque = 3, flag = 0, remark = '', ext = Buffer.alloc(0) } = parts
  return Buffer.concat([
    u16(code),
    Buffer.of(language),
    u16(version),
    i32(opaque),
    i32(flag),
    i32(parts.remarkLength ?? remark.length),
    Buffer.from(remark),
    i32(parts.extLength ?? ext.length),
    ext,
  ])
}

function entry(name: string, value: string, lengths: { name?: number; value?: number } = {}): Buffer {
  return Buffer.concat([
    u16((lengths.name ?? Buffer.byteLength(name)) & 0xffff),
    Buffer.from(name),
    i32(lengths.value ?? Buffer.byteLength(value)),
    Buffer.from(value),
  ])
}

const refused = (parts: Parts): Promise<void> => world.expectClosed(frameAround(1, headerOf(parts)), 'HEADER_INVALID')

async function answered(parts: Parts, body?: Uint8Array): ReturnType<Awaited<ReturnType<NonsenseWorld['raw']>>['ask']> {
  const client = await world.raw()
  client.write(frameAround(1, headerOf(parts), body))
  const answer = await client.answer()
  await world.expectAlive(client)
  client.end()
  return answer
}

test.each([-1, 1, 0x7fffffff, -0x80000000, 21])(
  'C.3-35: a remark length of %i ends its connection alone',
  async (remarkLength) => {
    await refused({ remarkLength })
  },
)

test('C.3-35: a remark in a request is passed over', async () => {
  expect(await answered({ remark: 'hello' })).toMatchObject({ code: OK })
})

test.each([-1, 1, 0x7fffffff, -0x80000000])(
  'C.3-36: an ext length of %i ends its connection alone',
  async (extLength) => {
    await refused({ extLength })
  },
)

test('C.3-36: ext fields that do not end where they should end their connection alone', async () => {
  const ext = Buffer.concat([entry('a', 'b'), entry('topic', 'x')])
  for (let cut = 1; cut < ext.length; cut++) {
    if (cut === entry('a', 'b').length) continue
    await refused({ ext: ext.subarray(0, cut) })
  }
  await refused({ ext: Buffer.concat([ext, Buffer.of(0)]) })
  await refused({ ext, extLength: ext.length - 1 })
})

test.each([-1, -0x8000, 6, 0x7fff])('C.3-37: a name length of %i ends its connection alone', async (name) => {
  await refused({ ext: entry('a', 'b', { name }) })
})

test.each([-1, 2, 0x7fffffff, -0x80000000])('C.3-37: a value length of %i ends its connection alone', async (value) => {
  await refused({ ext: entry('a', 'b', { value }) })
})

test('C.3-37: an empty name and an empty value are passed over', async () => {
  expect(await answered({ ext: Buffer.concat([entry('', 'b'), entry('a', ''), entry('', '')]) })).toMatchObject({
    code: OK,
  })
})

test('C.3-38: of a repeated name the last value counts, as in a map of Java', async () => {
  const { extFields } = pullOf({ topic: 'nobody-made-this' })
  const rest = Object.entries(extFields ?? {}).map(([name, value]) => entry(name, String(value)))
  const answer = await answered({ code: 11, ext: Buffer.concat([...rest, entry('topic', 'nor-this')]) })
  expect(answer).toMatchObject({ code: ResponseCode.TOPIC_NOT_EXIST, remark: expect.stringContaining('nor-this') })
  expect(answer?.remark).not.toContain('nobody')
})

test.each([14, 100, 127, 128, 255])('C.3-39: the language %i is served like any other', async (language) => {
  expect(await answered({ language })).toMatchObject({ code: OK, opaque: 3 })
})

test.each([32_767, -32_768, -1, 0])('C.3-40: the version %i is served like any other', async (version) => {
  expect(await answered({ version })).toMatchObject({ code: OK })
  await world.expectAnswer({ ...sendOf(), version }, { code: OK })
})

test.each([0, -1, 999, 1023, 1024, 32_767, -32_768])(
  'C.3-41: the unknown request code %i is answered with "not supported", and the connection stays',
  async (code) => {
    const remark = expect.stringContaining(`${code}`)
    await world.expectAnswer({ code }, { code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark })
  },
)

test.each([2_147_483_647, -2_147_483_648])(
  'C.3-41: the unknown request code %i of a JSON header is answered the same',
  async (code) => {
    const client = await world.raw()
    expect(await client.ask({ code })).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED })
    await world.expectAlive(client)
  },
)

test('C.3-41: answers to what nobody asked are dropped and counted', async () => {
  const client = await world.raw()
  const before = world.stats().remoting.responsesDropped
  for (const serialization of [0, 1] as const) {
    for (const flag of [1, 3, -1]) client.write(encodeCommand({ code: 0, flag, opaque: 1, serialization }))
    for (const opaque of [0, -1, 2_147_483_647])
      client.write(encodeCommand({ code: 10, flag: 1, opaque, serialization }))
  }
  await world.expectAlive(client)
  expect(world.stats().remoting.responsesDropped - before).toBe(12)
})

test('C.3-41: requests marked one-way that need an answer are done or refused in silence', async () => {
  const client = await world.raw()
  const oneway = { flag: 2, opaque: 1 }
  const before = world.broker.messages('nonsense').length
  client.write(encodeCommand({ ...sendOf(), ...oneway }))
  client.write(encodeCommand({ ...sendOf({ b: 'two words' }), ...oneway }))
  client.write(encodeCommand({ ...sendOf({ e: 'x' }), ...oneway }))
  client.write(encodeCommand({ ...pullOf(), ...oneway }))
  for (const code of [
    RequestCode.HEART_BEAT,
    RequestCode.GET_BROKER_CLUSTER_INFO,
    9999,
    RequestCode.LOCK_BATCH_MQ,
    RequestCode.GET_CONSUMER_LIST_BY_GROUP,
  ]) {
    client.write(encodeCommand({ code, ...oneway }))
  }
  await world.expectAlive(client)
  expect(world.broker.messages('nonsense').length).toBe(before + 1)
})
