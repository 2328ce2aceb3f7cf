import { decodeRecord, PropertyScan, SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { DelayService } from '../delay/index.ts'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { TransactionService } from '../transaction/index.ts'
import { type GroupPolicy, RetryService, type SendBackRequest } from './index.ts'
import { verdictOf } from './retry-rules.ts'

function setUp(log = new ScriptLog(testClock()), policy: GroupPolicy = { attemptsMax: 16 }) {
  const { clock } = log
  const delay = new DelayService({ clock, log })
  log.delay = delay
  const retry = new RetryService({ clock, log, policyOf: () => policy, delayMsMax: 100_000 })
  log.replayInto(delay, retry)
  delay.start()
  const consumed = (body: string, properties: Record<string, string> = {}, reconsumeTimes = 0, topic = 'orders') => {
    const { fields } = message(topic, body, { UNIQ_KEY: body, TAGS: 't', ...properties }, 3)
    fields.reconsumeTimes = reconsumeTimes
    log.append(topic, 3, fields)
    return fields.physicalOffset
  }
  const sendBack = (physicalOffset: number, request: Partial<SendBackRequest> = {}) => {
    const answers: (string | undefined)[] = []
    const done = (error?: Error): void => void answers.push(error?.message)
    retry.sendBack({ group: 'billing', physicalOffset, delayLevel: 0, ...request }, done)
    return answers
  }
  return { log, clock, retry, consumed, sendBack }
}

test.each([
  [0, 0, 16, 3],
  [1, 0, 16, 4],
  [15, 0, 16, 18],
  [0, 5, 16, 5],
  [15, 5, 16, 5],
])(
  'after %i retries, asked for level %i of at most %i: level %i',
  (reconsumeTimes, delayLevel, reconsumeTimesMax, level) => {
    expect(verdictOf({ reconsumeTimes, delayLevel, reconsumeTimesMax })).toEqual({ kind: 'retry', delayLevel: level })
  },
)

test.each([
  [16, 0, 16],
  [17, 5, 16],
  [0, -1, 16],
  [0, 0, 0],
])(
  'after %i retries, asked for level %i of at most %i: dead letter',
  (reconsumeTimes, delayLevel, reconsumeTimesMax) => {
    expect(verdictOf({ reconsumeTimes, delayLevel, reconsumeTimesMax }).kind).toBe('deadLetter')
  },
)

test('a retry waits for its level and goes to the retry topic with everything a client needs', async () => {
  const { log, clock, consumed, sendBack } = setUp()
  const at = consumed('m1', { region: 'eu' })
  const answers = sendBack(at)
  expect(log.messages(SystemTopic.SCHEDULE)[0]).toMatchObject({ queueId: 2, reconsumeTimes: 1 })
  expect(answers).toEqual([])
  log.flushSoon = true
  log.flush()
  expect(answers).toEqual([undefined])
  await clock.advance(9_999)
  expect(log.messages('%RETRY%billing')).toEqual([])
  await clock.advance(1)
  const [again] = log.messages('%RETRY%billing')
  expect(again).toMatchObject({ queueId: 0, reconsumeTimes: 1 })
  expect(again?.body.toString()).toBe('m1')
  expect({ ...again?.properties }).toEqual({
    UNIQ_KEY: 'm1',
    DELAY: '3',
    TAGS: 't',
    region: 'eu',
    RETRY_TOPIC: 'orders',
    ORIGIN_MESSAGE_ID: `7F00000100002694${'0'.repeat(16)}`,
  })
})

test('a second retry keeps the first topic and the first message id', () => {
  const { log, consumed, sendBack } = setUp()
  const origin = { RETRY_TOPIC: 'orders', ORIGIN_MESSAGE_ID: 'first' }
  sendBack(consumed('m1', origin, 1, '%RETRY%billing'))
  expect(log.messages(SystemTopic.SCHEDULE)[0]).toMatchObject({ reconsumeTimes: 2, properties: origin, queueId: 3 })
})

test('a message that was retried enough, or was rejected, becomes a dead letter at once, with origin and reason', () => {
  const { log, consumed, sendBack } = setUp()
  sendBack(consumed('spent', { DELAY: '3' }, 16))
  sendBack(consumed('rejected'), { delayLevel: -1, reason: 'no amount\x02FORGED\x01yes' })
  sendBack(consumed('limited'), { maxReconsumeTimes: 0 })
  sendBack(consumed('patient', {}, 20), { maxReconsumeTimes: 100 })
  const dead = log.messages('%DLQ%billing')
  expect(dead.map(({ body, queueId }) => `${body} ${queueId}`)).toEqual(['spent 0', 'rejected 0', 'limited 0'])
  expect(dead.map(({ properties }) => properties['DLQ_REASON'])).toEqual([
    '17 deliveries failed',
    'no amount FORGED yes',
    '1 deliveries failed',
  ])
  expect(dead[0]?.properties).toMatchObject({ DLQ_ORIGIN_TOPIC: 'orders', UNIQ_KEY: 'spent', RETRY_TOPIC: 'orders' })
  expect(dead[0]?.properties['DLQ_ORIGIN_MESSAGE_ID']).toBe(dead[0]?.properties['ORIGIN_MESSAGE_ID'])
  expect(dead[0]?.properties).toMatchObject({ DLQ_ORIGIN_QUEUE_ID: '3', DLQ_ORIGIN_QUEUE_OFFSET: '0' })
  expect(dead.map(({ reconsumeTimes }) => reconsumeTimes)).toEqual([17, 1, 1])
  expect(dead[0]?.properties['DELAY']).toBeUndefined()
  expect(dead[1]?.properties['FORGED']).toBeUndefined()
})

test('an exact delay replaces the level', async () => {
  const { log, clock, consumed, sendBack } = setUp()
  sendBack(consumed('m1'), { delayMs: 250.5 })
  sendBack(consumed('m2'), { delayMs: 0 })
  expect(log.messages('%RETRY%billing').map(({ body }) => body.toString())).toEqual(['m2'])
  log.flushSoon = true
  log.flush()
  await clock.advance(250)
  expect(log.messages('%RETRY%billing')).toHaveLength(1)
  await clock.advance(1)
  expect(log.messages('%RETRY%billing')).toHaveLength(2)
})

test('a repeated send-back is absorbed: in flight, later, and after a restart; another group or attempt is not', async () => {
  const { log, clock, consumed, sendBack, retry } = setUp()
  const at = consumed('m1')
  const answers = [sendBack(at), sendBack(at)]
  expect(answers).toEqual([[], []])
  log.flush()
  expect(answers).toEqual([[undefined], [undefined]])
  expect(sendBack(at)).toEqual([undefined])
  expect(log.messages(SystemTopic.SCHEDULE)).toHaveLength(1)
  expect(retry.stats()).toEqual({ retried: 1, deadLettered: 0, absorbed: 2 })
  sendBack(at, { group: 'stock' })
  sendBack(consumed('m1', {}, 1, '%RETRY%billing'))
  expect(log.messages(SystemTopic.SCHEDULE)).toHaveLength(3)
  const after = setUp(log.prefix(2))
  expect(after.sendBack(at)).toEqual([undefined])
  expect(after.log.messages(SystemTopic.SCHEDULE)).toHaveLength(1)
  const before = setUp(log.prefix(1))
  before.sendBack(at)
  expect(before.log.messages(SystemTopic.SCHEDULE)).toHaveLength(1)
  await clock.advance(60_001)
  sendBack(at)
  expect(log.messages(SystemTopic.SCHEDULE)).toHaveLength(4)
})

test('a dead letter met in the log absorbs the repeat as well', () => {
  const { log, consumed, sendBack } = setUp()
  const at = consumed('m1')
  sendBack(at, { delayLevel: -1 })
  const after = setUp(log.prefix(2))
  after.sendBack(at, { delayLevel: -1 })
  expect(after.log.messages('%DLQ%billing')).toHaveLength(1)
})

test('a send-back the store fails leaves the message with the consumer, who may try again', () => {
  const { log, consumed, sendBack, retry } = setUp()
  const at = consumed('m1')
  log.refuse = new Error('no room')
  expect(sendBack(at)).toEqual(['[SYSTEM_ERROR] no room'])
  log.refuse = undefined
  const broken = sendBack(at)
  log.breakDisk()
  expect(broken[0]).toContain('STORE_FENCED')
  expect(retry.stats()).toEqual({ retried: 0, deadLettered: 0, absorbed: 0 })
})

test('an offset that holds no consumed message is refused', () => {
  const { log, clock, sendBack } = setUp()
  expect(sendBack(1_099_511_627_776)[0]).toBe('[SYSTEM_ERROR] look message by offset failed, 1099511627776')
  const transactions = new TransactionService({ clock, log, ask: () => false })
  const half = message('orders', 'half', { PGROUP: 'shop', UNIQ_KEY: 'half' })
  transactions.appendHalf(half.fields, half.scan, 'shop', 1)
  expect(sendBack(half.fields.physicalOffset)[0]).toContain('ILLEGAL_OPERATION')
  expect(log.entries).toHaveLength(1)
})

test('a retry sent as an ordinary message becomes a dead letter above the limit, undelayed and in place', () => {
  const { retry } = setUp()
  const properties = { RETRY_TOPIC: 'orders', ORIGIN_MESSAGE_ID: 'first', DELAY: '18', TAGS: 't', UNIQ_KEY: 'm1' }
  const sent = (reconsumeTimes: number, max: number | undefined) => {
    const { fields, scan } = message('%RETRY%billing', 'm1', properties)
    fields.reconsumeTimes = reconsumeTimes
    return { fields, scan, target: retry.redirectRetrySend(fields, scan, 'billing', max) }
  }
  expect([sent(16, undefined).target, sent(2, 2).target, sent(99, 100).target]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  const { fields, scan, target } = sent(17, undefined)
  expect(target).toBe('%DLQ%billing')
  expect(fields.properties.toString('utf8', scan.uniqKeyStart, scan.uniqKeyEnd)).toBe('m1')
  const rescan = new PropertyScan()
  rescan.scan(fields.properties, fields.propertiesStart, fields.propertiesEnd)
  expect(fields.properties.toString('utf8', rescan.delayStart, rescan.delayEnd)).toBe('00')
  const log = new ScriptLog(testClock())
  log.append('%DLQ%billing', 0, fields)
  expect(decodeRecord(log.entries[0]?.bytes as Buffer).properties).toMatchObject({
    DLQ_ORIGIN_TOPIC: 'orders',
    DLQ_ORIGIN_MESSAGE_ID: 'first',
    DLQ_REASON: '17 deliveries failed',
    TAGS: 't',
  })
  expect(sent(3, 2).target).toBe('%DLQ%billing')
})

test('retries follow the policy of the group, each gap as long as it says; an asked level or delay comes before it', async () => {
  const delayMs = (retries: number): number => [700, 2_500, 999_999][retries] as number
  const { log, clock, consumed, sendBack } = setUp(undefined, { attemptsMax: 3, delayMs })
  log.flushSoon = true
  const retries = () => log.messages('%RETRY%billing')
  let at = consumed('m1')
  for (const [done, gap] of [700, 2_500, 100_000].entries()) {
    sendBack(at)
    log.flush()
    await clock.advance(gap - 1)
    expect(retries()).toHaveLength(done)
    await clock.advance(1)
    expect(retries()).toHaveLength(done + 1)
    at = Number(retries().at(-1)?.physicalOffset)
  }
  sendBack(at)
  expect(log.messages('%DLQ%billing')[0]).toMatchObject({ reconsumeTimes: 4, properties: { DLQ_ORIGIN_QUEUE_ID: '3' } })
  sendBack(consumed('level'), { delayLevel: 5 })
  sendBack(consumed('exact'), { delayMs: 10 })
  expect(log.messages(SystemTopic.SCHEDULE).map(({ body }) => String(body))).toEqual(['level'])
  expect(
    log
      .messages(SystemTopic.TIMER)
      .map(({ body }) => String(body))
      .at(-1),
  ).toBe('exact')
})

test('a group that may retry without end gets no dead letter for its count', () => {
  const { log, consumed, sendBack } = setUp(undefined, { attemptsMax: Number.POSITIVE_INFINITY })
  sendBack(consumed('m1', {}, 5_000))
  expect(log.messages('%DLQ%billing')).toEqual([])
})
