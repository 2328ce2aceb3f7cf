import { decodeRecord } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { RedriveService, type RedriveResult } from './index.ts'

const DEAD = '%DLQ%billing'
const RETRY = '%RETRY%billing'

/** A log and the redrives as a start finds them. */
function setUp(log = new ScriptLog(testClock())) {
  const queueOf = (topic: string) => {
    const own = log.entries.filter(({ bytes }) => decodeRecord(bytes).topic === topic)
    if (own.length === 0) return undefined
    return {
      minOffset: 0,
      maxOffset: own.length,
      size: (at: number) => own[at]!.bytes.length,
      physicalOffset: (at: number) => own[at]!.offset,
    }
  }
  const redrives = new RedriveService({ log, queueOf, firstOffset: () => log.entries[0]?.offset ?? 0 })
  log.replayInto(redrives)
  const redrive = (...offsets: number[]) => {
    const answers: (RedriveResult | string | undefined)[] = []
    redrives.redrive('billing', offsets, (error, result) => void answers.push(error?.message ?? result))
    return answers
  }
  const back = (): string[] => log.messages(RETRY).map(({ body }) => body.toString())
  return { log, redrives, redrive, back }
}

function withDeadLetters(count: number): ScriptLog {
  const log = new ScriptLog(testClock())
  for (let n = 0; n < count; n++) {
    const properties = {
      ...{ UNIQ_KEY: `id-${n}`, TAGS: 't', DLQ_REASON: 'no amount', DLQ_ORIGIN_TOPIC: 'orders', DELAY: '3' },
      ...{ DLQ_ORIGIN_MESSAGE_ID: 'first', ORIGIN_MESSAGE_ID: 'first', RETRY_TOPIC: 'orders' },
    }
    const { fields } = message(DEAD, `m${n}`, properties)
    fields.reconsumeTimes = 17
    log.append(DEAD, 0, fields)
  }
  log.flush()
  return log
}

test('a redriven message is a first attempt again, at once, and remembers where it came from', () => {
  const { log, redrive } = setUp(withDeadLetters(2))
  const answers = redrive(1)
  expect(answers).toEqual([])
  log.flush()
  expect(answers).toEqual([{ redriven: 1, already: 0, gone: 0 }])
  const [again] = log.messages(RETRY)
  expect(again).toMatchObject({ reconsumeTimes: 0, queueId: 0 })
  expect({ ...again?.properties }).toEqual({
    ...{ UNIQ_KEY: 'id-1', TAGS: 't', ORIGIN_MESSAGE_ID: 'first', RETRY_TOPIC: 'orders', DLQ_REDRIVEN_FROM: '1' },
  })
})

test('a repeat makes no second copy: in flight, later, after a restart', () => {
  const first = setUp(withDeadLetters(3))
  const answers = [first.redrive(0, 1), first.redrive(1, 2)]
  expect(answers).toEqual([[], []])
  first.log.flush()
  expect(answers[1]).toEqual([{ redriven: 1, already: 1, gone: 0 }])
  expect(first.redrive(0, 1, 2)).toEqual([{ redriven: 0, already: 3, gone: 0 }])
  const second = setUp(first.log.prefix(first.log.entries.length))
  expect(second.redrive(0, 1, 2)).toEqual([{ redriven: 0, already: 3, gone: 0 }])
  expect(second.back()).toEqual(['m0', 'm1', 'm2'])
})

test('wherever a redrive is cut off, each message is in one place, and a second run completes it', () => {
  const all = [0, 1, 2, 3, 4]
  const whole = setUp(withDeadLetters(5))
  whole.redrive(...all)
  for (let records = 5; records <= whole.log.entries.length; records++) {
    const { log, redrives, redrive, back } = setUp(whole.log.prefix(records))
    expect(redrives.redrivenOf('billing', 0, 10).redriven).toEqual(all.slice(0, records - 5))
    expect(back()).toHaveLength(records - 5)
    const answers = redrive(...all)
    log.flush()
    expect(answers).toEqual([{ redriven: 10 - records, already: records - 5, gone: 0 }])
    expect(back()).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
  }
})

test('a checkpoint holds what is redriven, and not what was only under way', () => {
  const first = setUp(withDeadLetters(3))
  first.redrive(1)
  first.log.flush()
  first.redrive(2)
  first.log.takeCheckpoint(first.redrives)
  const lost = setUp(first.log.prefix(4))
  expect(lost.redrives.redrivenOf('billing', 0, 10).redriven).toEqual([1])
  const kept = setUp(first.log.prefix(5))
  expect(kept.redrives.redrivenOf('billing', 0, 10).redriven).toEqual([1, 2])
})

test('what the store refuses stays a dead letter, and may be asked for again', () => {
  const { log, redrives, redrive, back } = setUp(withDeadLetters(2))
  log.refuse = new Error('no room')
  expect(redrive(0, 1)).toEqual(['[SYSTEM_ERROR] no room'])
  expect(redrives.redrivenOf('billing', 0, 10).redriven).toEqual([])
  log.refuse = undefined
  redrive(0, 1)
  expect(back()).toEqual(['m0', 'm1'])
})

test('offsets that hold no dead letter are told apart', () => {
  const { redrive, redrives } = setUp(withDeadLetters(1))
  expect(redrive(1, 7)).toEqual([{ redriven: 0, already: 0, gone: 2 }])
  expect(setUp().redrive(0)).toEqual([{ redriven: 0, already: 0, gone: 1 }])
  expect(redrives.redrivenOf('stock', 0, 10)).toEqual({ minOffset: 0, maxOffset: 0, redriven: [] })
})
