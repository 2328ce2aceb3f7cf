import { type CommandInit, decodeRecords, encodeCommand, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NonsenseWorld, pullOf, sendOf } from '../../kit/nonsense-world.ts'

// Lines 42 to 50 of the catalogue (README.md beside this file); line 47 takes time: see slow.test.ts.

const OK = ResponseCode.SUCCESS
const INVALID = 29
const MISSING = 1
let world: NonsenseWorld

beforeAll(async () => {
  world = await NonsenseWorld.start()
  await world.expectAnswer(sendOf(), { code: OK })
  await world.expectAnswer(pullOf(), { code: OK })
})
afterEach(() => world.harmless())
afterAll(() => world.end())

const place = { consumerGroup: 'reader', topic: 'nonsense', queueId: '0' }
/** Requests with everything in place, by name. */
const whole: Record<string, CommandInit> = {
  'send V2': sendOf(),
  'send V1': {
    code: RequestCode.SEND_MESSAGE,
    extFields: {
      ...{ producerGroup: 'p', topic: 'nonsense', defaultTopic: 'TBW102', defaultTopicQueueNums: '4', queueId: '0' },
      ...{
        sysFlag: '0',
        bornTimestamp: '1700000000000',
        flag: '0',
        properties: '',
        reconsumeTimes: '0',
        unitMode: 'false',
      },
    },
    body: Buffer.from('x'),
  },
  pull: pullOf(),
  'offset query': { code: RequestCode.QUERY_CONSUMER_OFFSET, extFields: place },
  'offset commit': { code: RequestCode.UPDATE_CONSUMER_OFFSET, extFields: { ...place, commitOffset: '0' } },
  'maximum offset': { code: RequestCode.GET_MAX_OFFSET, extFields: { topic: 'nonsense', queueId: '0' } },
  'minimum offset': { code: RequestCode.GET_MIN_OFFSET, extFields: { topic: 'nonsense', queueId: '0' } },
  'earliest time': { code: RequestCode.GET_EARLIEST_MSG_STORETIME, extFields: { topic: 'nonsense', queueId: '0' } },
  'offset by time': {
    code: RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
    extFields: { topic: 'nonsense', queueId: '0', timestamp: '1700000000000' },
  },
}

/** The request with one field changed; undefined takes it away. */
function changed(name: string, field: string, value: string | undefined): CommandInit {
  const init = whole[name] as CommandInit
  const short =
    name === 'send V2' ? ({ queueId: 'e', sysFlag: 'f', bornTimestamp: 'g', flag: 'h', topic: 'b' } as const) : {}
  return { ...init, extFields: { ...init.extFields, [(short as Record<string, string>)[field] ?? field]: value } }
}

const withQueue = Object.keys(whole)

test.each(withQueue)(
  'C.3-42: a queue id that is no number, or a number Java would not write, is refused: %s',
  async (name) => {
    for (const value of [
      'abc',
      '1e3',
      ' 1',
      '1 ',
      '\u0663',
      '0x1',
      '+1',
      '1.0',
      '-',
      '--1',
      '2147483648',
      '9'.repeat(400),
    ]) {
      await world.expectAnswer(changed(name, 'queueId', value), {
        code: INVALID,
        remark: expect.stringContaining('[FIELD_INVALID]'),
      })
    }
  },
)

test.each(withQueue)('C.3-42: a queue that is not there gets a code: %s', async (name) => {
  for (const value of ['2147483647', '-2147483648', '-1', '4', '1024']) {
    const client = await world.raw()
    const answer = await client.ask(changed(name, 'queueId', value))
    // A sender may leave the choice to the broker; who asks where to begin learns that nothing is committed.
    if (value.startsWith('-') && name.startsWith('send')) expect(answer?.code).toBe(OK)
    else if (name === 'offset query') expect(answer?.code).toBe(ResponseCode.QUERY_NOT_FOUND)
    else expect(answer).toMatchObject({ code: INVALID, remark: expect.stringMatching(/queue/) })
    client.end()
  }
  const queues = world.broker.messages('nonsense').map(({ queueId }) => queueId)
  expect(queues.every((queueId) => queueId >= 0 && queueId < 4)).toBe(true)
})

const far = ['-1', '9223372036854775807', '9223372036854775806', '9007199254740993', '-9223372036854775808'] as const
const beyond = ['9223372036854775808', '-9223372036854775809', '99999999999999999999999999'] as const

test('C.3-43: a pull from an offset outside the queue is sent to its nearest end', async () => {
  for (const value of far) {
    const end = value.startsWith('-') ? 'minOffset' : 'maxOffset'
    const client = await world.raw()
    for (const serialization of [0, 1] as const) {
      const answer = await client.ask({ ...pullOf({ queueOffset: value }), serialization })
      expect(answer?.code).toBe(ResponseCode.PULL_OFFSET_MOVED)
      expect(answer?.extFields['nextBeginOffset']).toBe(answer?.extFields[end])
    }
    client.end()
  }
  for (const value of beyond) {
    await world.expectAnswer(pullOf({ queueOffset: value }), {
      code: INVALID,
      remark: expect.stringContaining('queueOffset'),
    })
  }
})

test.each([...far, ...beyond])('C.3-43: the offset %s gets a code wherever it is sent', async (value) => {
  const requests: CommandInit[] = [
    changed('offset commit', 'commitOffset', value),
    changed('offset by time', 'timestamp', value),
    pullOf({ sysFlag: '5', commitOffset: value }),
    { code: RequestCode.VIEW_MESSAGE_BY_ID, extFields: { offset: value } },
    {
      code: RequestCode.END_TRANSACTION,
      extFields: {
        ...{ producerGroup: 'p', tranStateTableOffset: value, commitLogOffset: value, commitOrRollback: '8' },
        ...{ fromTransactionCheck: 'false', msgId: 'x', transactionId: 'x' },
      },
    },
    {
      code: RequestCode.CONSUMER_SEND_MSG_BACK,
      extFields: {
        offset: value,
        group: 'reader',
        delayLevel: '1',
        originMsgId: 'x',
        originTopic: 'nonsense',
        unitMode: 'false',
        maxReconsumeTimes: '16',
      },
    },
  ]
  for (const init of requests) {
    const client = await world.raw()
    for (const serialization of [0, 1] as const)
      expect((await client.ask({ ...init, serialization }))?.code).toBeGreaterThanOrEqual(0)
    client.end()
  }
  expect(world.stats().transactions).toMatchObject({ pending: 0, committed: 0 })
})

test('C.3-44: unknown and contradicting system flags never make a transaction, and what is stored can be read', async () => {
  const topic = 'flags'
  const flags = [-1, 0x7fffffff, 1 << 30, 0x0c, 0x04, 0x08, 0x01, 0x31, 0x30, 0x701]
  for (const flag of flags) await world.expectAnswer(sendOf({ b: topic, f: String(flag) }), { code: OK })
  await world.expectAnswer(sendOf({ f: '4294967295' }), { code: INVALID })
  const client = await world.raw()
  const pulled = await client.ask(pullOf({ topic }))
  const messages = decodeRecords(pulled?.body ?? Buffer.alloc(0))
  expect(messages.map(({ sysFlag }) => sysFlag & 0x0c)).toEqual(Array(2 * flags.length).fill(0))
  expect(messages.every(({ bornHost, body }) => bornHost.startsWith('127.0.0.1:') && body.toString() === 'x')).toBe(
    true,
  )
  expect(world.stats().transactions.pending).toBe(0)
})

test('C.3-44: unknown and contradicting flags of a pull are passed over', async () => {
  for (const flag of [-1, 0x7fffffff, 0x10, 0xf0, 0]) {
    const client = await world.raw()
    const answer = await client.ask(pullOf({ sysFlag: String(flag) }))
    expect([OK, ResponseCode.SUBSCRIPTION_NOT_EXIST]).toContain(answer?.code)
    client.end()
  }
})

test('C.3-45: a born time of 0 or before 1970 is stored as it is, one beyond 2^53 is refused', async () => {
  await world.expectAnswer(sendOf({ b: 'born', g: '0' }), { code: OK })
  await world.expectAnswer(sendOf({ b: 'born', g: '-1' }), { code: OK })
  for (const value of ['9223372036854775807', '9007199254740993', '1e12', '']) {
    const expected = value === '' ? /FIELD_(INVALID|MISSING)/ : /\[FIELD_INVALID\]/
    await world.expectAnswer(sendOf({ b: 'born', g: value }), { remark: expect.stringMatching(expected) })
  }
  const client = await world.raw()
  const pulled = await client.ask(pullOf({ topic: 'born' }))
  expect(decodeRecords(pulled?.body ?? Buffer.alloc(0)).map(({ bornTimestamp }) => bornTimestamp)).toEqual([
    0, 0, -1, -1,
  ])
})

test.each([
  ['send V2', ['topic', 'queueId', 'sysFlag', 'bornTimestamp', 'flag']],
  ['send V1', ['topic', 'queueId', 'sysFlag', 'bornTimestamp', 'flag']],
  ['pull', ['consumerGroup', 'topic', 'queueId', 'queueOffset', 'maxMsgNums', 'sysFlag']],
  ['offset query', ['consumerGroup', 'topic', 'queueId']],
  ['offset commit', ['consumerGroup', 'topic', 'queueId', 'commitOffset']],
  ['maximum offset', ['topic', 'queueId']],
  ['minimum offset', ['topic', 'queueId']],
  ['earliest time', ['topic', 'queueId']],
  ['offset by time', ['topic', 'queueId', 'timestamp']],
])('C.3-46: %s without one of the fields it needs is refused, and the remark names the field', async (name, needed) => {
  await world.expectAnswer(whole[name] as CommandInit, { code: name === 'offset query' ? 0 : OK })
  for (const field of needed) {
    const remark =
      name === 'send V2'
        ? expect.stringContaining('[FIELD_MISSING]')
        : expect.stringMatching(`\\[FIELD_MISSING\\].*${field}`)
    await world.expectAnswer(changed(name, field, undefined), { code: MISSING, remark })
  }
})

test('C.3-46: every request the broker serves answers to no fields and no body, with a code', async () => {
  const client = await world.raw()
  for (const code of world.broker.requestCodes) {
    const answer = await client.ask({ code })
    expect(answer, `code ${code}`).toBeDefined()
    if (answer?.code !== OK) expect(answer?.remark, `code ${code}`).toBeTruthy()
  }
  await world.expectAlive(client)
})

test.each(['0', '-5', '2147483647', '-2147483648'])(
  'C.3-48: a pull of %s messages gets one, or what 256 KiB hold',
  async (maxMsgNums) => {
    for (let n = 0; n < 40; n++) await world.expectAnswer(sendOf({ b: 'many' }), { code: OK })
    const client = await world.raw()
    const answer = await client.ask(pullOf({ topic: 'many', maxMsgNums }))
    const { length } = decodeRecords(answer?.body ?? Buffer.alloc(0))
    if (maxMsgNums !== '2147483647') return expect(length).toBe(1)
    expect(length).toBeGreaterThan(32)
    expect(answer?.body.length).toBeLessThanOrEqual(256 << 10)
  },
)

test('C.3-49: an offset beyond the end is not committed, whoever asks for it', async () => {
  const client = await world.raw()
  const committed = async (): Promise<string | undefined> =>
    (await client.ask({ code: RequestCode.QUERY_CONSUMER_OFFSET, extFields: { ...place, setZeroIfNotFound: 'false' } }))
      ?.extFields['offset']
  await client.ask(changed('offset commit', 'commitOffset', '1'))
  expect(await committed()).toBe('1')
  for (const value of ['1000000', '9007199254740991']) {
    expect(await client.ask(changed('offset commit', 'commitOffset', value))).toMatchObject({
      remark: expect.stringContaining('beyond'),
    })
    await client.ask(pullOf({ sysFlag: '5', commitOffset: value }))
    expect(await committed()).toBe('1')
  }
})

test('C.3-49: a stranger cannot set back the offsets of a group at work', async () => {
  const client = await world.raw()
  await world.bystander.roundsMore(5)
  for (let queueId = 0; queueId < 4; queueId++) {
    const extFields = { consumerGroup: 'bystander', topic: 'bystander', queueId: String(queueId), commitOffset: '0' }
    expect(await client.ask({ code: RequestCode.UPDATE_CONSUMER_OFFSET, extFields })).toMatchObject({ code: OK })
    await client.ask(pullOf({ ...extFields, sysFlag: '5' }))
    await client.ask({
      code: RequestCode.UPDATE_CONSUMER_OFFSET,
      extFields: { ...extFields, commitOffset: '4503599627370496' },
    })
  }
  // What it had received would come again, which it would call a disturbance.
  await world.bystander.roundsMore(5)
})

const LONG = 'g'.repeat(256)

test('C.3-50: a producer group of 256 characters is refused where a group is kept', async () => {
  const refused = { code: INVALID, remark: expect.stringContaining('[GROUP_NAME_INVALID]') }
  const half = 'UNIQ_KEY\x01k\x02TRAN_MSG\x01true\x02PGROUP\x01p\x02'
  await world.expectAnswer(sendOf({ a: LONG, f: '4', i: half }), refused)
  for (const kind of ['producerDataSet', 'consumerDataSet']) {
    const body = Buffer.from(JSON.stringify({ clientID: 'c', [kind]: [{ groupName: LONG }] }))
    await world.expectAnswer({ code: RequestCode.HEART_BEAT, body }, refused)
  }
  await world.expectAnswer(pullOf({ consumerGroup: LONG }), refused)
  // An ordinary send keeps nothing of it, and a stock broker does not look either.
  await world.expectAnswer(sendOf({ a: LONG }), { code: OK })
})

test('C.3-50: a group of 255 characters is served', async () => {
  const body = Buffer.from(JSON.stringify({ clientID: 'c', producerDataSet: [{ groupName: LONG.slice(1) }] }))
  await world.expectAnswer({ code: RequestCode.HEART_BEAT, body }, { code: OK })
})

test('random values in the fields of well-framed requests never end the broker', async () => {
  const client = await world.raw()
  let state = 42
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)))
  const names = ['topic', 'b', 'queueId', 'consumerGroup', 'queueOffset', 'i', 'e', 'subscription', 'offset', 'group']
  const codes = world.broker.requestCodes
  for (let n = 0; n < 2_000; n++) {
    const extFields: Record<string, string> = {}
    for (let field = random(6); field > 0; field--) {
      const value = [noise(9).toString('latin1'), '-1', '9e99', '', '0', 'nonsense'][random(6)] ?? ''
      extFields[names[random(names.length)] ?? 'a'] = value
    }
    const code = codes[random(codes.length)] ?? 10
    expect(await client.ask({ code, extFields, body: noise(random(64)) }), `code ${code}`).toBeDefined()
  }
  client.write(encodeCommand({ code: 9999, opaque: 1 }))
  expect(await client.answer()).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED })
})
