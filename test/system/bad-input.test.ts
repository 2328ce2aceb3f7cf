import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admin, Producer, PullConsumer, TandemError } from '@tandemmq/client'
import { Outbox } from '@tandemmq/outbox'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Bystander } from '../kit/bystander.ts'
import { type Ended, tandem, UpProgram } from '../kit/program.ts'
import { RawClient } from '../kit/raw-client.ts'

// Written out: a limit that moves is a change of the protocol.
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

test('the program says on standard error why it closed a connection, and serves on', async () => {
  const client = await RawClient.connect(broker.address)
  endings.push(() => client.end())
  client.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  expect(await client.answer()).toBeUndefined()
  await expect.poll(() => broker.err).toMatch(/\[FRAME_LENGTH_INVALID\]/)
  await bystander.roundsMore(2)
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
