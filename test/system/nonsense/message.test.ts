import { deflateSync } from 'node:zlib'
import {
  type CommandInit,
  decodeRecords,
  encodeBatch,
  encodeCommand,
  RequestCode,
  ResponseCode,
} from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NonsenseWorld, pullOf, sendOf } from '../../kit/nonsense-world.ts'

// Lines 60 to 73 of the catalogue (README.md beside this file), as far as remoting has them.

// Written out: a limit that moves is a change of the protocol.
const BODY_BYTES_MAX = 4_194_304
const PROPERTIES_BYTES_MAX = 32_767
const OK = ResponseCode.SUCCESS
const ILLEGAL = { code: ResponseCode.MESSAGE_ILLEGAL, remark: expect.stringContaining('[MESSAGE_ILLEGAL]') }
let world: NonsenseWorld
let keys = 0

/** Made before memory is counted. */
const bomb = deflateSync(Buffer.alloc(64 << 20))

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

const key = (): string => `UNIQ_KEY\x01${++keys}\x02`

async function stored(topic: string): Promise<ReturnType<typeof decodeRecords>> {
  const client = await world.raw()
  const found: ReturnType<typeof decodeRecords> = []
  for (;;) {
    const pulled = await client.ask(pullOf({ topic, queueOffset: String(found.length) }))
    if (pulled?.code !== OK) return found
    found.push(...decodeRecords(pulled.body))
  }
}

test('C.3-60: a message without a body is refused', async () => {
  await world.expectAnswer(sendOf({}, Buffer.alloc(0)), ILLEGAL)
})

test('C.3-61: bodies are taken up to 4 MiB and refused above', async () => {
  for (const bytes of [BODY_BYTES_MAX - 1, BODY_BYTES_MAX])
    await world.expectAnswer(sendOf({}, Buffer.alloc(bytes)), { code: OK })
  const refused = { code: ResponseCode.MESSAGE_ILLEGAL, remark: expect.stringContaining('[MESSAGE_TOO_LARGE]') }
  for (const bytes of [BODY_BYTES_MAX + 1, 16_000_000])
    await world.expectAnswer(sendOf({}, Buffer.alloc(bytes)), refused)
})

function propertiesOf(bytes: number): string {
  const name = `${key()}big\x01`
  return `${name}${'x'.repeat(bytes - name.length - 1)}\x02`
}

/** Separators take 6 bytes each in a JSON header. */
function manyProperties(bytes: number): string {
  const name = key()
  const rest = bytes - name.length
  return `${name}${'a\x01b\x02'.repeat(Math.floor(rest / 4) - 1)}a\x01${'b'.repeat((rest % 4) + 1)}\x02`
}

test('C.3-63: properties are taken up to 32,767 bytes and refused above, few or many', async () => {
  for (const of of [propertiesOf, manyProperties]) {
    for (const bytes of [PROPERTIES_BYTES_MAX - 1, PROPERTIES_BYTES_MAX]) {
      await world.expectAnswer(sendOf({ i: of(bytes) }), { code: OK })
    }
    for (const bytes of [PROPERTIES_BYTES_MAX + 4, 200_000]) await world.expectAnswer(sendOf({ i: of(bytes) }), ILLEGAL)
  }
})

test('C.3-63: properties without name or value or separator are stored and do not hide the others', async () => {
  for (const odd of ['\x01\x02', 'a\x01\x02', '\x01b\x02', 'a', 'a\x02', '\x02\x02\x02', '\x01\x01\x01']) {
    await world.expectAnswer(sendOf({ b: 'odd', i: `${key()}${odd}` }), { code: OK })
    await world.expectAnswer(sendOf({ b: 'odd', i: `${odd}${odd.endsWith('\x02') ? '' : '\x02'}${key()}` }), {
      code: OK,
    })
  }
  for (const { properties } of await stored('odd')) expect(properties['UNIQ_KEY']).toBeTruthy()
})

test('C.3-65: properties of the system that a client sets make no transaction, no retry and no lease', async () => {
  const forged =
    'REAL_TOPIC\x01RMQ_SYS_TRANS_HALF_TOPIC\x02REAL_QID\x010\x02RETRY_TOPIC\x01other\x02RECONSUME_TIME\x0199\x02PGROUP\x01p\x02CHECK_IMMUNITY_TIME_IN_SECONDS\x01-1\x02POP_CK\x010 0 0 0 0 b 0 0\x02'
  await world.expectAnswer(sendOf({ b: 'forged', i: `${key()}${forged}` }), { code: OK })
  const messages = await stored('forged')
  expect(messages.length).toBeGreaterThan(0)
  for (const { topic, queueId, reconsumeTimes, properties } of messages) {
    expect({ topic, queueId, reconsumeTimes, lease: properties['POP_CK'] }).toEqual({
      topic: 'forged',
      queueId: 0,
      reconsumeTimes: 0,
      lease: undefined,
    })
  }
  expect(world.stats()).toMatchObject({ transactions: { pending: 0 }, delay: { pending: 0 } })
})

test('C.3-66: of two unique keys in one message one counts, and the other one hides nothing', async () => {
  await world.expectAnswer(sendOf({ b: 'twice', i: `UNIQ_KEY\x01one\x02UNIQ_KEY\x01two\x02` }), { code: OK })
  const messages = await stored('twice')
  // The second serialization repeats the first: answered, not stored again.
  expect(messages).toHaveLength(1)
})

test('C.3-67: tags of any text are stored and pulled', async () => {
  for (const tag of ['a||b', '*', '||', ' ', 't'.repeat(10_000), '\u0000', '😀']) {
    await world.expectAnswer(sendOf({ b: 'tags', i: `${key()}TAGS\x01${tag}\x02` }), { code: OK })
  }
  expect(await stored('tags')).toHaveLength(7)
})

test('C.3-68: a message with thousands of keys is stored, and queries by key stay bounded', async () => {
  const words = Array.from({ length: 5_000 }, (_, n) => `k${n}`).join(' ')
  await world.expectAnswer(sendOf({ b: 'keyed', i: `${key()}KEYS\x01${words}\x02` }), { code: OK })
  const client = await world.raw()
  const query = {
    topic: 'keyed',
    key: 'k4999',
    maxNum: '2147483647',
    beginTimestamp: '0',
    endTimestamp: '9223372036854775807',
  }
  expect((await client.ask({ code: RequestCode.QUERY_MESSAGE, extFields: query }))?.code).toBeDefined()
})

test.each(['-1', '0', '19', '2147483647', '2147483648', 'x', '1.5', ''])(
  'C.3-69: the delay level %j parks for at most two hours or is no delay',
  async (level) => {
    const client = await world.raw()
    const before = world.stats().delay.pending
    const answer = await client.ask(sendOf({ b: 'levels', i: `${key()}DELAY\x01${level}\x02` }))
    expect([OK, ResponseCode.MESSAGE_ILLEGAL, 29]).toContain(answer?.code)
    expect(world.stats().delay.pending - before).toBe(
      ['19', '2147483647', '2147483648'].includes(level) && answer?.code === OK ? 1 : 0,
    )
  },
)

test.each(['TIMER_DELIVER_MS', 'TIMER_DELAY_SEC', 'TIMER_DELAY_MS'])(
  'C.3-69: a time of %s that is none or too far is refused, one that is over is no delay',
  async (name) => {
    for (const value of ['x', 'NaN', '1e99', '9'.repeat(30), '9007199254740993', '253402300800000']) {
      await world.expectAnswer(sendOf({ b: 'times', i: `${key()}${name}\x01${value}\x02` }), ILLEGAL)
    }
    const before = world.stats().delay.pending
    for (const value of ['0', '-1']) {
      const client = await world.raw()
      expect([OK, ResponseCode.MESSAGE_ILLEGAL]).toContain(
        (await client.ask(sendOf({ b: 'times', i: `${key()}${name}\x01${value}\x02` })))?.code,
      )
    }
    expect(world.stats().delay.pending).toBe(before)
  },
)

test('C.3-72: a compressed flag is stored as it came: the broker unpacks no bomb', async () => {
  const before = process.memoryUsage().arrayBuffers
  for (let n = 0; n < 4; n++) await world.expectAnswer(sendOf({ b: 'bombs', f: '1' }, bomb), { code: OK })
  // Eight times 64 MiB, had it looked inside.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 << 20)
  const others = ['257', '513', '769', '1793'].map((flag) => sendOf({ b: 'bombs', f: flag }, Buffer.from('plain')))
  for (const send of [sendOf({ b: 'bombs', f: '1' }, bomb.subarray(0, 100)), ...others]) {
    await world.expectAnswer(send, { code: OK })
  }
  const bodies = (await stored('bombs')).map(({ body }) => body.length)
  expect(bodies).toEqual([...Array(8).fill(bomb.length), 100, 100, ...Array(8).fill(5)])
})

const batchOf = (body: Uint8Array): CommandInit => {
  const { extFields = {} } = sendOf({ m: 'true', b: 'batches' })
  return { code: RequestCode.SEND_BATCH_MESSAGE, extFields, body }
}

test('C.3-73: a batch that does not add up is refused whole', async () => {
  const entry = (): { flag: number; body: Buffer; properties: Buffer } => ({
    flag: 0,
    body: Buffer.from('one'),
    properties: Buffer.from(key()),
  })
  const whole = encodeBatch([entry(), entry()])
  await world.expectAnswer(batchOf(whole), { code: OK })
  const before = (await stored('batches')).length
  const client = await world.raw()
  for (let cut = 1; cut < whole.length; cut++) {
    if (cut === whole.length / 2) continue
    expect((await client.ask(batchOf(whole.subarray(0, cut))))?.code).not.toBe(OK)
  }
  for (const length of [0, -1, 1, 20, 0x7fffffff, -0x80000000]) {
    const broken = Buffer.from(whole)
    broken.writeInt32BE(length, whole.length / 2)
    expect((await client.ask(batchOf(broken)))?.code).not.toBe(OK)
  }
  await world.expectAlive(client)
  expect(await stored('batches')).toHaveLength(before)
})

test('C.3-73: a batch of many tiny messages is refused above its limit, as is one inside another', async () => {
  const tiny = encodeBatch(
    Array.from({ length: 120_000 }, () => ({ flag: 0, body: Buffer.from('x'), properties: Buffer.alloc(0) })),
  )
  const client = await world.raw()
  const started = Date.now()
  const answer = await client.ask(batchOf(tiny))
  expect(Date.now() - started).toBeLessThan(5_000)
  expect(answer?.code).toBe(ResponseCode.MESSAGE_ILLEGAL)
  await world.expectAlive(client)
})

const refusable: readonly (readonly [string, CommandInit])[] = [
  ['a heartbeat that is no JSON', { code: RequestCode.HEART_BEAT, body: Buffer.from('hello') }],
  ['a heartbeat of another shape', { code: RequestCode.HEART_BEAT, body: Buffer.from('[1,2,3]') }],
  [
    'a heartbeat with members of another shape',
    { code: RequestCode.HEART_BEAT, body: Buffer.from('{"clientID":"c","consumerDataSet":7}') },
  ],
  ['a lock request that is no JSON', { code: RequestCode.LOCK_BATCH_MQ, body: Buffer.from('{') }],
  ['a pull without fields', { code: RequestCode.PULL_MESSAGE }],
  ['an end of no transaction', { code: RequestCode.END_TRANSACTION, extFields: { commitLogOffset: '-5' } }],
  ['a message id that is none', { code: RequestCode.VIEW_MESSAGE_BY_ID, extFields: { offset: 'far' } }],
  ['an illegal topic to create', { code: RequestCode.UPDATE_AND_CREATE_TOPIC, extFields: { topic: 'two words' } }],
]

test.each(refusable)('%s is refused with a code and a remark, and the connection stays', async (_name, init) => {
  const client = await world.raw()
  const answer = await client.ask(init)
  expect(answer?.code).toBeGreaterThan(0)
  expect(answer?.remark).toMatch(/^\[[A-Z_]+\] ./)
  await world.expectAlive(client)
})

test('a one-way send that is refused is not answered and does no harm', async () => {
  const client = await world.raw()
  client.write(encodeCommand({ ...sendOf({ b: 'two words' }), flag: 2, opaque: 1 }))
  expect(await client.ask({ code: RequestCode.GET_BROKER_CLUSTER_INFO })).toMatchObject({ code: 0, opaque: 1 })
})
