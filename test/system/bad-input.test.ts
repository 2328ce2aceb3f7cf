import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer, PullConsumer, TandemError } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import { type CommandInit, encodeCommand, RequestCode, ResponseCode } from '@tandemmq/protocol'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Bystander } from '../kit/bystander.ts'
import { type Ended, tandem, UpProgram } from '../kit/program.ts'
import { RawClient } from '../kit/raw-client.ts'

// Written out: a limit that moves is a change of the protocol.
const FRAME_BYTES_MAX = 16_777_216
const BODY_BYTES_MAX = 4_194_304
const PROPERTIES_BYTES_MAX = 32_767
let directory: string
let broker: UpProgram
let bystander: Bystander
const endings: (() => unknown)[] = []

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-bad-'))
  broker = await UpProgram.start(join(directory, 'data'), '--set', 'flush=async')
  bystander = await Bystander.start(broker.address)
})

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
})

afterAll(async () => {
  const disturbances = await bystander.end()
  const { code } = await broker.stop()
  rmSync(directory, { recursive: true, force: true })
  expect({ disturbances, code }).toEqual({ disturbances: [], code: 0 })
})

async function raw(): Promise<RawClient> {
  const client = await RawClient.connect(broker.address)
  endings.push(() => client.end())
  return client
}

/** A frame of any length: the header says what it should, the rest is zeros. */
function frameOf(init: CommandInit, totalBytes: number): Buffer {
  const head = encodeCommand(init)
  const frame = Buffer.alloc(totalBytes)
  head.copy(frame)
  frame.writeUInt32BE(totalBytes - 4, 0)
  return frame
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const nonsense: readonly (readonly [string, Buffer, string])[] = [
  ['text of another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'FRAME_LENGTH_INVALID'],
  ['a TLS greeting', Buffer.from('16030100a5010000a10303', 'hex'), 'FRAME_LENGTH_INVALID'],
  ['a length of 0', u32(0), 'FRAME_LENGTH_INVALID'],
  ['a length of 3', u32(3), 'FRAME_LENGTH_INVALID'],
  ['a negative length', u32(0xffff_ffff), 'FRAME_LENGTH_INVALID'],
  ['a length one above the limit', u32(FRAME_BYTES_MAX - 3), 'FRAME_LENGTH_INVALID'],
  ['a frame of 17 MB', frameOf({ code: 999 }, 17_000_000), 'FRAME_LENGTH_INVALID'],
  ['a header longer than its frame', Buffer.concat([u32(20), u32(17), Buffer.alloc(16)]), 'HEADER_INVALID'],
  ['a header that is no JSON', Buffer.concat([u32(12), u32(8), Buffer.from('{"code":')]), 'HEADER_INVALID'],
  ['an unknown serialization', Buffer.concat([u32(12), u32(0x07000008), Buffer.alloc(8)]), 'HEADER_INVALID'],
  ['a binary header cut short', Buffer.concat([u32(8), u32(0x01000004), Buffer.alloc(4)]), 'HEADER_INVALID'],
]

test.each(nonsense)('%s ends its connection alone, and the log says why', async (_name, bytes, code) => {
  const client = await raw()
  const linesBefore = broker.err.length
  client.write(bytes)
  expect(await client.answer()).toBeUndefined()
  await bystander.roundsMore(2)
  await expect.poll(() => broker.err.slice(linesBefore)).toMatch(new RegExp(`\\[${code}\\]`))
})

test('a frame of exactly 16 MiB is read, and whoever sends one byte more loses the connection', async () => {
  const client = await raw()
  client.write(frameOf({ code: 999, opaque: 7 }, FRAME_BYTES_MAX - 1))
  client.write(frameOf({ code: 999, opaque: 8 }, FRAME_BYTES_MAX))
  expect(await client.answer()).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, opaque: 7 })
  expect(await client.answer()).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, opaque: 8 })
  client.write(frameOf({ code: 999, opaque: 9 }, FRAME_BYTES_MAX + 1))
  expect(await client.answer()).toBeUndefined()
})

test('a promised frame that never comes costs others nothing', async () => {
  const client = await raw()
  client.write(Buffer.concat([u32(FRAME_BYTES_MAX - 4), Buffer.alloc(1000)]))
  await bystander.roundsMore(3)
})

test.each([0, -1, 999, 1023, 1024, 32_767, 2_147_483_647, -2_147_483_648])(
  'the unknown request code %i is answered with "not supported", and the connection stays',
  async (code) => {
    const client = await raw()
    const answer = await client.ask({ code })
    expect(answer).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED })
    expect(answer?.remark).toContain(`${code} not supported`)
    expect(await client.ask({ code: RequestCode.GET_BROKER_CLUSTER_INFO })).toMatchObject({ code: 0 })
  },
)

/** SEND_MESSAGE_V2; the letters are those of SendMessageRequestHeaderV2.java. */
function sendOf(over: Record<string, string | undefined> = {}, body: Uint8Array = Buffer.from('x')): CommandInit {
  const extFields = {
    a: 'p',
    c: 'TBW102',
    d: '4',
    e: '0',
    f: '0',
    g: '1700000000000',
    h: '0',
    i: '',
    j: '0',
    k: 'false',
  }
  return { code: RequestCode.SEND_MESSAGE_V2, extFields: { ...extFields, b: 'limits', m: 'false', ...over }, body }
}

const OK = ResponseCode.SUCCESS
const ILLEGAL = ResponseCode.MESSAGE_ILLEGAL
const INVALID = 29

test.each([
  ['a body just below the limit', sendOf({}, Buffer.alloc(BODY_BYTES_MAX - 1)), OK, undefined],
  ['a body at the limit', sendOf({}, Buffer.alloc(BODY_BYTES_MAX)), OK, undefined],
  ['a body one byte above the limit', sendOf({}, Buffer.alloc(BODY_BYTES_MAX + 1)), ILLEGAL, '[MESSAGE_TOO_LARGE]'],
  ['a message without a body', sendOf({}, Buffer.alloc(0)), ILLEGAL, '[MESSAGE_ILLEGAL]'],
  ['properties just below the limit', sendOf({ i: propertiesOf(PROPERTIES_BYTES_MAX - 1) }), OK, undefined],
  ['properties at the limit', sendOf({ i: propertiesOf(PROPERTIES_BYTES_MAX) }), OK, undefined],
  ['properties one above', sendOf({ i: propertiesOf(PROPERTIES_BYTES_MAX + 1) }), ILLEGAL, '[MESSAGE_ILLEGAL]'],
  ['many small properties at the limit', sendOf({ i: manyProperties(PROPERTIES_BYTES_MAX) }), OK, undefined],
  [
    'many small properties above',
    sendOf({ i: manyProperties(PROPERTIES_BYTES_MAX + 4) }),
    ILLEGAL,
    '[MESSAGE_ILLEGAL]',
  ],
  ['a topic name just below the limit', sendOf({ b: 't'.repeat(126) }), OK, undefined],
  ['a topic name at the limit', sendOf({ b: 't'.repeat(127) }), OK, undefined],
  ['a topic name one above', sendOf({ b: 't'.repeat(128) }), INVALID, '[TOPIC_NAME_INVALID]'],
  ['a topic name with a space', sendOf({ b: 'two words' }), INVALID, '[TOPIC_NAME_INVALID]'],
  ['a topic name that is a path', sendOf({ b: '../../etc/passwd' }), INVALID, '[TOPIC_NAME_INVALID]'],
  ['a topic name with a NUL', sendOf({ b: 'a\0b' }), INVALID, '[TOPIC_NAME_INVALID]'],
  ['an empty topic name', sendOf({ b: '' }), INVALID, '[TOPIC_NAME_INVALID]'],
  ['a topic of the broker itself', sendOf({ b: 'RMQ_SYS_TRANS_HALF_TOPIC' }), 16, '[NO_PERMISSION]'],
  ['a queue that is not there', sendOf({ e: '99' }), INVALID, '[INVALID_PARAMETER]'],
  ['a queue that is no number', sendOf({ e: 'two' }), INVALID, '[FIELD_INVALID]'],
  ['a send without its topic', sendOf({ b: undefined }), 1, '[FIELD_MISSING]'],
  ['a send without its time', sendOf({ g: undefined }), 1, '[FIELD_MISSING]'],
])('%s is answered with the right code', async (_name, send, code, problem) => {
  const client = await raw()
  for (const serialization of [0, 1] as const) {
    const answer = await client.ask({ ...send, serialization })
    const empty =
      serialization === 1 && Object.values(send.extFields ?? {}).includes('') && send.extFields?.['b'] === ''
    // A binary header has no empty values: the field is missing.
    if (empty) expect(answer).toMatchObject({ code: 1, remark: expect.stringContaining('[FIELD_MISSING]') })
    else if (problem === undefined) expect(answer).toMatchObject({ code })
    else expect(answer).toMatchObject({ code, remark: expect.stringContaining(problem) })
  }
  expect(await client.ask(sendOf())).toMatchObject({ code: OK })
})

function propertiesOf(bytes: number): string {
  const name = `UNIQ_KEY\x01${bytes}-${Math.random()}\x02big\x01`
  return `${name}${'x'.repeat(bytes - name.length - 1)}\x02`
}

/** Separators take 6 bytes each in a JSON header. */
function manyProperties(bytes: number): string {
  const name = `UNIQ_KEY\x01${bytes}-${Math.random()}\x02`
  const rest = bytes - name.length
  return name + 'a\x01b\x02'.repeat(Math.floor(rest / 4) - 1) + `a\x01${'b'.repeat((rest % 4) + 1)}\x02`
}

test('a one-way send that is refused is not answered and does no harm', async () => {
  const client = await raw()
  client.write(encodeCommand({ ...sendOf({ b: 'two words' }), flag: 2, opaque: 1 }))
  expect(await client.ask({ code: RequestCode.GET_BROKER_CLUSTER_INFO })).toMatchObject({ code: 0, opaque: 1 })
})

const withBody = (code: number, text: string, extFields: Record<string, string> = {}): CommandInit => ({
  code,
  extFields,
  body: Buffer.from(text),
})

test.each([
  ['a heartbeat that is no JSON', withBody(RequestCode.HEART_BEAT, 'hello')],
  ['a heartbeat of another shape', withBody(RequestCode.HEART_BEAT, '[1,2,3]')],
  ['a heartbeat without members', withBody(RequestCode.HEART_BEAT, '{"clientID":"c","consumerDataSet":7}')],
  ['a lock request that is no JSON', withBody(RequestCode.LOCK_BATCH_MQ, '{')],
  ['a batch that is cut short', withBody(RequestCode.SEND_BATCH_MESSAGE, 'xxxx', sendOf().extFields as never)],
  ['a pull without fields', { code: RequestCode.PULL_MESSAGE }],
  ['a pull of an illegal offset', { code: RequestCode.PULL_MESSAGE, extFields: { queueOffset: 'first' } }],
  ['an end of no transaction', { code: RequestCode.END_TRANSACTION, extFields: { commitLogOffset: '-5' } }],
  ['a message id that is none', { code: RequestCode.VIEW_MESSAGE_BY_ID, extFields: { offset: 'far' } }],
  ['an illegal topic to create', { code: RequestCode.UPDATE_AND_CREATE_TOPIC, extFields: { topic: 'two words' } }],
] as const)('%s is refused with a code and a remark, and the connection stays', async (_name, init) => {
  const client = await raw()
  const answer = await client.ask(init as CommandInit)
  expect(answer?.code).toBeGreaterThan(0)
  expect(answer?.remark).toMatch(/^\[[A-Z_]+\] ./)
  expect(await client.ask({ code: RequestCode.GET_BROKER_CLUSTER_INFO })).toMatchObject({ code: 0 })
})

test('random bytes inside well-framed requests never end the broker', async () => {
  const codes = [10, 310, 320, 11, 12, 14, 15, 34, 35, 36, 37, 38, 41, 42, 46, 49, 105, 206, 9101, 9102, 9103]
  const client = await raw()
  let state = 42
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)))
  for (let n = 0; n < 400; n++) {
    const extFields: Record<string, string> = {}
    for (let field = random(6); field > 0; field--) {
      const names = ['topic', 'b', 'queueId', 'consumerGroup', 'queueOffset', 'i', 'e', 'subscription', 'offset']
      extFields[names[random(names.length)] ?? 'a'] = [noise(9).toString('latin1'), '-1', '9e99', ''][random(4)] ?? ''
    }
    const answer = await client.ask({ code: codes[random(codes.length)] ?? 10, extFields, body: noise(random(64)) })
    expect(answer).toBeDefined()
  }
  await bystander.roundsMore(1)
})

test('the SDK names what is wrong with a code before anything leaves', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p' })
  await producer.start()
  const codeOf = (sent: Promise<unknown>): Promise<unknown> =>
    sent.then(
      () => 'sent',
      (error: unknown) => (error instanceof TandemError ? error.code : error),
    )
  const send = (over: object): Promise<unknown> => codeOf(producer.send({ topic: 'sdk', body: 'x', ...over }))
  expect(await send({ topic: 'two words' })).toBe('TOPIC_NAME_INVALID')
  expect(await send({ topic: 't'.repeat(128) })).toBe('TOPIC_NAME_INVALID')
  expect(await send({ topic: 't'.repeat(127) })).toBe('sent')
  expect(await send({ body: Buffer.alloc(BODY_BYTES_MAX + 1) })).toBe('MESSAGE_TOO_LARGE')
  expect(await send({ body: Buffer.alloc(BODY_BYTES_MAX) })).toBe('sent')
  expect(await send({ properties: { a: 'x'.repeat(PROPERTIES_BYTES_MAX) } })).toBe('MESSAGE_ILLEGAL')
  expect(await send({ topic: 'RMQ_SYS_TRANS_HALF_TOPIC' })).toBe('NO_PERMISSION')
})

test('what the broker refuses reaches the SDK with the code the broker gave', async () => {
  await using producer = new Producer({ nameServers: broker.address, group: 'p', bodyBytesMax: 2 * BODY_BYTES_MAX })
  await producer.start()
  await expect(producer.send({ topic: 'sdk', body: Buffer.alloc(BODY_BYTES_MAX + 1) })).rejects.toMatchObject({
    code: 'MESSAGE_TOO_LARGE',
    retryable: false,
  })
  await using admin = new Admin({ nameServers: broker.address })
  await admin.start()
  await expect(admin.createTopic('two words')).rejects.toMatchObject({ code: 'TOPIC_NAME_INVALID' })
  await using pull = new PullConsumer({ nameServers: broker.address, group: 'reader' })
  await pull.start()
  const reading = pull.messages('nobody-made-this', { from: 'first' })[Symbol.asyncIterator]()
  await expect(reading.next()).rejects.toMatchObject({
    code: expect.stringMatching(/^(TOPIC_NOT_EXIST|ROUTE_NOT_FOUND)$/),
  })
})

const oneLine = ({ err }: Ended): string => {
  const lines = err.split('\n').filter((line) => line !== '' && !line.startsWith('See: '))
  expect(lines).toHaveLength(1)
  return lines[0] ?? ''
}

test.each([
  ['an unknown option', ['--set', 'speed=11'], 'speed.*retentionHours'],
  ['an option of Object', ['--set', 'constructor=1'], 'constructor'],
  ['a flush mode that is none', ['--set', 'flush=sometimes'], 'flush .*"sync" or "async"'],
  ['a number that is none', ['--set', 'transactionTimeoutMs=soon'], 'transactionTimeoutMs'],
  ['a number out of range', ['--set', 'messageBytesMax=0'], 'messageBytesMax'],
  ['an empty number', ['--set', 'retentionHours='], 'retentionHours'],
  ['a flag that is none', ['--set', 'autoCreateTopic=yes'], 'autoCreateTopic .*true or false'],
  ['a port out of range', ['--port', '65536'], 'port'],
])('tandem up with %s: exit code 2, one line with OPTION_INVALID', async (_name, argv, pattern) => {
  const ended = await tandem('up', '--port', '0', '--data-dir', join(directory, 'never'), ...argv)
  expect(ended).toMatchObject({ code: 2, out: '' })
  expect(oneLine(ended)).toMatch(new RegExp(`^tandem: \\[OPTION_INVALID\\] .*${pattern}`))
})

test('a used port: exit code 1, one line with ADDRESS_IN_USE that names it', async () => {
  const ended = await tandem('up', '--port', `${broker.port}`, '--data-dir', join(directory, 'other'))
  expect(ended).toMatchObject({ code: 1, out: '' })
  expect(oneLine(ended)).toMatch(new RegExp(`^tandem: \\[ADDRESS_IN_USE\\] .*${broker.port}`))
})

// Permissions would not stop root; a path below a file stops everyone.
test.each(['', '/below', '/far/below'])(
  'a data directory at a file%s: exit code 1, DIRECTORY_NOT_WRITABLE',
  async (path) => {
    const file = join(directory, 'file')
    writeFileSync(file, 'not a directory')
    const ended = await tandem('up', '--port', '0', '--data-dir', `${file}${path}`)
    expect(ended).toMatchObject({ code: 1, out: '' })
    const line = oneLine(ended)
    expect(line).toMatch(/^tandem: \[DIRECTORY_NOT_WRITABLE\] /)
    expect(line).toContain(file)
  },
)

test('a host that is not ours: exit code 1 and one line with a code', async () => {
  const ended = await tandem('up', '--host', '192.0.2.1', '--port', '0', '--data-dir', join(directory, 'other'))
  expect(ended).toMatchObject({ code: 1, out: '' })
  expect(oneLine(ended)).toMatch(/^tandem: \[[A-Z_]+\] .*192\.0\.2\.1/)
})

test('a missing Postgres: the outbox says DATABASE_UNAVAILABLE, and the command line with exit code 1', async () => {
  const nowhere = 'postgres://nobody@127.0.0.1:1/none'
  const database = new pg.Pool({ connectionString: nowhere })
  endings.push(() => database.end())
  const outbox = new Outbox({ database, nameServers: broker.address, group: 'orders' })
  const missing = { name: 'OutboxError', code: 'DATABASE_UNAVAILABLE', retryable: true, cause: expect.any(Error) }
  await expect(outbox.migrate()).rejects.toMatchObject(missing)
  await expect(outbox.start()).rejects.toMatchObject(missing)
  const ended = await tandem('outbox', 'migrate', '--database', nowhere)
  expect(ended).toMatchObject({ code: 1, out: '' })
  expect(oneLine(ended)).toMatch(/^tandem: \[DATABASE_UNAVAILABLE\] /)
})

test('a broker that is not there: CONNECT_FAILED for an operator, retryable for a producer', async () => {
  await using admin = new Admin({ nameServers: '127.0.0.1:1' })
  await expect(admin.start()).rejects.toMatchObject({ code: 'CONNECT_FAILED', retryable: true })
  await using producer = new Producer({ nameServers: '127.0.0.1:1', group: 'p', sendTimeoutMs: 200 })
  await producer.start()
  await expect(producer.send({ topic: 'orders', body: 'x' })).rejects.toMatchObject({ retryable: true })
})
