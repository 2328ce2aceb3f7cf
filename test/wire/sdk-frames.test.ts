import { decodeCommand, type RemotingCommand, RequestCode, requestName, TandemRequestCode } from '@tandemmq/protocol'
import { beforeAll, expect, test } from 'vitest'
import { goldenFiles, goldenFrames } from './golden.ts'
import { framesOfTheSdk } from './sdk-frames.ts'
import { kindOf, pathsOf } from './shape.ts'

/** Fields our SDK sends and the recorded Java clients do not, or the other way round. */
const allowed: readonly { code: number; field: string; reason: string }[] = [
  { code: RequestCode.CONSUMER_SEND_MSG_BACK, field: 'reason', reason: 'a field of ours, for the dead letter' },
  { code: RequestCode.DELETE_TOPIC_IN_NAMESRV, field: 'clusterName', reason: 'a topic is deleted everywhere' },
  {
    code: RequestCode.GET_ROUTEINFO_BY_TOPIC,
    field: 'acceptStandardJsonOnly',
    reason: 'Java has it too, and reads both',
  },
  {
    code: RequestCode.UPDATE_CONSUMER_OFFSET,
    field: 'onlyIfAbsent',
    reason: 'ours, for the first position of a group',
  },
  {
    code: RequestCode.PULL_MESSAGE,
    field: 'expressionType',
    reason: 'counts only in a pull that brings its subscription',
  },
  { code: RequestCode.HEART_BEAT, field: '/producerDataSet/*', reason: 'a consumer of Java has a producer inside' },
  { code: RequestCode.HEART_BEAT, field: '/producerDataSet/*/groupName', reason: 'as the one above' },
  ...[RequestCode.LOCK_BATCH_MQ, RequestCode.UNLOCK_BATCH_MQ].map((code) => ({
    ...{ code, field: '/handover', reason: 'ours: a claim, where the broker says that it knows claims' },
  })),
  ...['', '/absenceMs', '/restartMs', '/startedAt'].map((field) => ({
    code: RequestCode.HEART_BEAT,
    field: `/instance${field}`,
    reason: 'ours: how long the queues wait for their owner; fastjson skips what it does not know',
  })),
]

let ours: RemotingCommand[] = []
const recorded = new Map<number, RemotingCommand[]>()

beforeAll(async () => {
  ours = await framesOfTheSdk()
  for (const file of goldenFiles().filter((name) => /\.5\.3\.3\.jsonl$|^mqadmin-/.test(name))) {
    for (const { frame, dir, from } of goldenFrames(file)) {
      if (dir === 'response' || from === 'broker' || from === 'nameserver') continue
      const command = decodeCommand(frame)
      recorded.set(command.code, [...(recorded.get(command.code) ?? []), command])
    }
  }
}, 60_000)

/** Recorded requests of a code; those a scenario sent without any field, to see what happens, aside. */
function recordedOf(code: number): RemotingCommand[] {
  const all = recorded.get(code) ?? []
  const filled = all.filter(({ extFields }) => Object.keys(extFields).length > 0)
  return filled.length > all.length / 2 ? filled : all
}

const own = new Set<number>(Object.values(TandemRequestCode))

test('the SDK was watched in every situation: its requests have all the codes there are for them', () => {
  const codes = new Set(ours.map(({ code }) => code))
  for (const code of [
    11, 12, 14, 15, 17, 29, 33, 34, 35, 36, 37, 38, 41, 42, 46, 105, 106, 206, 208, 222, 310, 320, 325, 370,
  ]) {
    expect(codes, requestName(code)).toContain(code)
  }
})

test('each request of the SDK has the fields and types of the recorded requests of Java clients', () => {
  const found = new Set<string>()
  for (const { code, extFields } of ours) {
    const others = recordedOf(code)
    if (own.has(code) || others.length === 0) continue
    const skip = (field: string): boolean => allowed.some((one) => one.code === code && one.field === field)
    for (const [field, value] of Object.entries(extFields)) {
      const kinds = new Set(
        others.flatMap((other) => (field in other.extFields ? [kindOf(other.extFields[field])] : [])),
      )
      if (skip(field) || kinds.has(kindOf(value))) continue
      found.add(`${requestName(code)}: ${field} is ${kindOf(value)}, recorded ${[...kinds].join(' or ') || 'never'}`)
    }
    for (const field of Object.keys(others[0]?.extFields ?? {})) {
      if (skip(field) || field in extFields || !others.every((other) => field in other.extFields)) continue
      found.add(`${requestName(code)}: ${field} is missing`)
    }
  }
  expect([...found].toSorted()).toEqual([])
})

test('each request of the SDK waits for an answer, or does not, as the recorded ones', () => {
  const found = new Set<string>()
  for (const { code, flag } of ours) {
    const others = recordedOf(code)
    if (others.length > 0 && !others.some((other) => (other.flag & 2) === (flag & 2)))
      found.add(`${requestName(code)} with flag ${flag}`)
  }
  expect([...found]).toEqual([])
})

test('JSON bodies of the SDK have the members and types of the recorded ones', () => {
  const found = new Set<string>()
  const codes = [
    RequestCode.HEART_BEAT,
    RequestCode.LOCK_BATCH_MQ,
    RequestCode.UNLOCK_BATCH_MQ,
    RequestCode.CHECK_CLIENT_CONFIG,
  ]
  for (const code of codes) {
    const others = recordedOf(code).map(({ body }) => pathsOf(body.toString()))
    for (const { body } of ours.filter((one) => one.code === code)) {
      for (const [path, type] of pathsOf(body.toString())) {
        if (allowed.some((one) => one.code === code && one.field === path)) continue
        if (!others.some((paths) => paths.get(path) === type))
          found.add(`${requestName(code)}: ${path} is ${type}, recorded never`)
      }
      for (const path of others[0]?.keys() ?? []) {
        const inAll = others.every((paths) => paths.has(path))
        if (allowed.some((one) => one.code === code && one.field === path)) continue
        if (inAll && !pathsOf(body.toString()).has(path)) found.add(`${requestName(code)}: ${path} is missing`)
      }
    }
  }
  expect([...found].toSorted()).toEqual([])
})
