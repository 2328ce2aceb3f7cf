import { type CommandInit, decodeRecords, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NonsenseWorld, pullOf, sendOf } from '../../kit/nonsense-world.ts'

// Lines 51 to 59 of the catalogue (README.md beside this file).

const OK = ResponseCode.SUCCESS
const INVALID = 29
let world: NonsenseWorld

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

const heartbeatOf = (group: string): CommandInit => ({
  code: RequestCode.HEART_BEAT,
  body: Buffer.from(
    JSON.stringify({ clientID: 'c', consumerDataSet: [{ groupName: group, subscriptionDataSet: [] }] }),
  ),
})
const createTopic = (topic: string): CommandInit => ({
  code: RequestCode.UPDATE_AND_CREATE_TOPIC,
  extFields: {
    ...{ topic, defaultTopic: 'TBW102', readQueueNums: '1', writeQueueNums: '1', perm: '6' },
    ...{ topicFilterType: 'SINGLE_TAG', topicSysFlag: '0', order: 'false' },
  },
})
const createGroup = (group: string): CommandInit => ({
  code: RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
  body: Buffer.from(JSON.stringify({ groupName: group })),
})

/** Refused wherever a topic or a group would come into being; a binary header has no empty texts, there it is missing. */
async function refusedAsTopic(name: string): Promise<void> {
  const problem = name === '' ? /\[(TOPIC_NAME_INVALID|FIELD_MISSING)\]/ : /\[TOPIC_NAME_INVALID\]/
  for (const init of [sendOf({ b: name }), createTopic(name)]) {
    await world.expectAnswer(init, { remark: expect.stringMatching(problem) })
  }
  await world.expectAnswer(pullOf({ topic: name }), {
    remark: expect.stringMatching(/\[(TOPIC_NOT_EXIST|FIELD_MISSING)\]/),
  })
}

async function refusedAsGroup(name: string): Promise<void> {
  const refusal = { code: INVALID, remark: expect.stringContaining('[GROUP_NAME_INVALID]') }
  for (const init of [heartbeatOf(name), createGroup(name)]) await world.expectAnswer(init, refusal)
  const problem = name === '' ? /\[(GROUP_NAME_INVALID|FIELD_MISSING)\]/ : /\[GROUP_NAME_INVALID\]/
  await world.expectAnswer(pullOf({ consumerGroup: name, topic: 'bystander' }), {
    remark: expect.stringMatching(problem),
  })
}

/** Names never become paths: files are numbered. */
function expectFilesNamedByTheBroker(): void {
  const numbered = /^\/data\/(format|reserve|commitlog\/\d{20}|journal\/\d{20})$/
  expect(world.paths().filter((path) => !numbered.test(path))).toEqual([])
}

async function refused(name: string): Promise<void> {
  await refusedAsTopic(name)
  await refusedAsGroup(name)
  expectFilesNamedByTheBroker()
}

const servedAsTopic = (name: string): Promise<void> => world.expectAnswer(sendOf({ b: name }), { code: OK })
const servedAsGroup = (name: string): Promise<void> => world.expectAnswer(heartbeatOf(name), { code: OK })

test.each(['', ' ', '   ', '\t', 'a b', ' a', 'a ', 'a\tb', 'a\nb', 'a\r\n'])(
  'C.3-51: the blank or spaced name %j is refused',
  refused,
)

test.each([
  '../../etc/passwd',
  '..',
  '.',
  '/',
  '//',
  'a/b',
  'C:\\x',
  'a\\b',
  'topic%2f..',
  'a\0b',
  '\0',
  './a',
  'a/..',
  '~',
  '.hidden',
])('C.3-52: the path %j is refused, and no file comes of it', refused)

test('C.3-53: names are served up to their limit and refused above it', async () => {
  for (const length of [126, 127]) await servedAsTopic('t'.repeat(length))
  for (const length of [128, 255, 256, 65_535]) await refusedAsTopic('t'.repeat(length))
  for (const length of [127, 128, 255]) await servedAsGroup('g'.repeat(length))
  for (const length of [256, 65_535]) await refusedAsGroup('g'.repeat(length))
})

test('C.3-53: a name counts in characters of ASCII only: none of several bytes passes for one', async () => {
  await refused('é'.repeat(100))
})

const own = [
  'SCHEDULE_TOPIC_XXXX',
  'RMQ_SYS_TRANS_HALF_TOPIC',
  'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  'rmq_sys_wheel_timer',
  'rmq_sys_anything',
  'TRANS_CHECK_MAX_TIME_TOPIC',
  'OFFSET_MOVED_EVENT',
  'SELF_TEST_TOPIC',
]

test.each(own)('C.3-54: nobody writes to, creates or deletes the topic %s of the broker itself', async (topic) => {
  const answers = async (init: CommandInit): Promise<number | undefined> => (await (await world.raw()).ask(init))?.code
  expect(await answers(sendOf({ b: topic }))).not.toBe(OK)
  expect(await answers(createTopic(topic))).not.toBe(OK)
  expect(await answers({ code: RequestCode.DELETE_TOPIC_IN_BROKER, extFields: { topic } })).not.toBe(OK)
  const half = `UNIQ_KEY\x01${topic}\x02TRAN_MSG\x01true\x02PGROUP\x01p\x02`
  expect(await answers(sendOf({ b: topic, f: '4', i: half }))).not.toBe(OK)
  const delayed = `UNIQ_KEY\x01d${topic}\x02DELAY\x011\x02`
  expect(await answers(sendOf({ b: topic, i: delayed }))).not.toBe(OK)
  expect(world.stats()).toMatchObject({ transactions: { pending: 0 }, delay: { pending: 0 } })
})

test('C.3-54: retry and dead letter topics of groups nobody knows are not made by a send', async () => {
  for (const topic of [
    '%RETRY%',
    '%DLQ%',
    '%RETRY%other_group',
    '%DLQ%other_group',
    '%RETRY%%RETRY%g',
    '%SYS%x',
    '%',
  ]) {
    const client = await world.raw()
    expect((await client.ask(sendOf({ b: topic })))?.code).toBe(ResponseCode.TOPIC_NOT_EXIST)
    expect(await client.ask(pullOf({ topic }))).toMatchObject({ code: ResponseCode.TOPIC_NOT_EXIST })
  }
})

test('C.3-54: the template of new topics takes messages like any other topic and stays a template', async () => {
  const client = await world.raw()
  expect((await client.ask(sendOf({ b: 'TBW102' })))?.code).toBeDefined()
  expect(
    (await client.ask({ code: RequestCode.DELETE_TOPIC_IN_BROKER, extFields: { topic: 'TBW102' } }))?.code,
  ).not.toBe(OK)
  await servedAsTopic('made-from-the-template')
})

test.each([
  'tоpic',
  'ｔｏｐｉｃ',
  '\u202etopic',
  'topic\u200b',
  '😀',
  'e\u0301',
  'topic\ufeff',
  '主题',
  'topi\u0441',
  'ı',
  '\u212a',
])('C.3-55: the look-alike %j is refused', refused)

test('C.3-56: names that differ only in case are two names', async () => {
  await world.expectAnswer(sendOf({ b: 'Case', i: 'UNIQ_KEY\x01upper\x02' }), { code: OK })
  await world.expectAnswer(sendOf({ b: 'case', i: 'UNIQ_KEY\x01lower\x02' }), { code: OK })
  const client = await world.raw()
  for (const [topic, key] of [
    ['Case', 'upper'],
    ['case', 'lower'],
  ] as const) {
    const pulled = await client.ask(pullOf({ topic }))
    const keys = decodeRecords(pulled?.body ?? Buffer.alloc(0)).map(({ properties }) => properties['UNIQ_KEY'])
    expect(new Set(keys)).toEqual(new Set([key]))
  }
  await client.ask(heartbeatOf('Crew'))
  const list = (group: string): CommandInit => ({
    code: RequestCode.GET_CONSUMER_LIST_BY_GROUP,
    extFields: { consumerGroup: group },
  })
  expect((await client.ask(list('Crew')))?.code).toBe(OK)
  expect((await client.ask(list('crew')))?.code).not.toBe(OK)
})

test.each(['CON', 'NUL', 'PRN', 'AUX', 'COM1', 'LPT1', 'nul'])(
  'C.3-57: the device name %s is a name, and no file is called so',
  async (name) => {
    await servedAsTopic(name)
    await servedAsGroup(name)
    expectFilesNamedByTheBroker()
  },
)

test.each(['*', '**', 'a*', '>', '#', '+', '?', '[a]', '$SYS'])('C.3-58: the wildcard %s is refused', refused)

test('C.3-59: a million different names come to an end: topics have a limit, the known ones go on', async () => {
  const client = await world.raw()
  const names = Array.from({ length: 22_000 }, (_, n) => `distinct-${n}`)
  const before = process.memoryUsage().heapUsed
  const counts = { served: 0, refused: 0 }
  for (let at = 0; at < names.length; at += 500) {
    const answers = await Promise.all(names.slice(at, at + 500).map((name) => client.ask(sendOf({ b: name }))))
    for (const answer of answers) {
      if (answer?.code === OK) counts.served++
      else {
        expect(answer).toMatchObject({
          code: ResponseCode.TOPIC_NOT_EXIST,
          remark: expect.stringContaining('20000 topics'),
        })
        counts.refused++
      }
    }
  }
  expect(counts.served).toBeGreaterThan(19_000)
  expect(counts.refused).toBeGreaterThan(2_000)
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 << 20)
  expect(await client.ask(sendOf({ b: 'distinct-0' }))).toMatchObject({ code: OK })
  // A group needs a retry topic: no way around the limit.
  expect(await client.ask(heartbeatOf('one-group-more'))).toMatchObject({ code: ResponseCode.TOPIC_NOT_EXIST })
  // Names that are only asked about leave nothing.
  for (let n = 0; n < 1_000; n++)
    await client.ask({ code: RequestCode.GET_ROUTEINFO_BY_TOPIC, extFields: { topic: `asked-${n}` } })
  await world.expectAlive(client)
})
