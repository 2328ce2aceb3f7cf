import { type HeaderView, TandemRequestCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { type DelayService, type NewTime, parseRecallHandle, type TimerPlace, recallHandle } from '../delay/index.ts'
import type { Handler } from './handler.ts'
import { answer, answerAfter, jsonBody } from './request-body.ts'

/**
 * TandemMQ's own requests about delayed messages. A message is named by `topic` and `key`, a word of its KEYS or its
 * message id, and then all that wait under it are meant.
 *
 * - LIST_TIMERS 9104: body {@link TimerQuery}, answer {@link TimerPage}; each timer with `recallHandle`
 * - RESCHEDULE_TIMER 9106: body `{"topic", "key" | "recallHandle", "deliverAt" | "delayMs"}`, answer `{"outcome":
 *   "rescheduled" | "cancelled" | "fired" | "unknown", "rescheduled": [place, ...], "fired": n}`, newest first
 * - CANCEL_TIMER_BY_KEY 9107: body `{"topic", "key"}`, answer `{"outcome": "cancelled" | "fired" | "unknown",
 *   "cancelled": n, "fired": n}`
 *
 * Times are ms since 1970. Answers are durable. 14 when the store failed meanwhile and only a restart can tell.
 */
export function timerHandlers(options: { delay: DelayService; brokerName: string }): Map<number, Handler> {
  const { delay, brokerName } = options
  const withHandle = <T extends { topic: string; deliverAt: number }>(timer: T, uniqueKey: string) => ({
    ...timer,
    recallHandle: recallHandle(timer.topic, brokerName, timer.deliverAt, uniqueKey),
  })
  const placeOf = (place: TimerPlace) => withHandle(place, place.uniqueKey)
  return new Map<number, Handler>([
    [
      TandemRequestCode.LIST_TIMERS,
      (connection, header) => {
        const body = bodyOf(header, true)
        const query = {
          ...{ topic: textOf(body, 'topic'), key: textOf(body, 'key'), after: textOf(body, 'after') },
          ...{ from: numberOf(body, 'from'), to: numberOf(body, 'to'), limit: numberOf(body, 'limit') },
        }
        answerAfter(connection, header, delay.list(query), (page, request) => {
          const timers = page.timers.map((timer) => withHandle(timer, timer.messageId))
          answer(connection, request, { body: JSON.stringify({ ...page, timers }) })
        })
      },
    ],
    [
      TandemRequestCode.RESCHEDULE_TIMER,
      (connection, header) => {
        const body = bodyOf(header)
        const topic = requiredText(body, 'topic')
        const time = { deliverAt: numberOf(body, 'deliverAt'), delayMs: numberOf(body, 'delayMs') }
        if ((time.deliverAt === undefined) === (time.delayMs === undefined)) {
          throw new BrokerError('INVALID_PARAMETER', 'either deliverAt or delayMs')
        }
        const handle = textOf(body, 'recallHandle')
        const work =
          handle === undefined
            ? delay.rescheduleByKey(topic, requiredText(body, 'key'), time)
            : rescheduleOne(delay, topic, keyOfHandle(handle, topic, brokerName), time)
        answerAfter(connection, header, work.then(settled), ({ rescheduled, ...rest }, request) =>
          answer(connection, request, { body: JSON.stringify({ ...rest, rescheduled: rescheduled.map(placeOf) }) }),
        )
      },
    ],
    [
      TandemRequestCode.CANCEL_TIMER_BY_KEY,
      (connection, header) => {
        const body = bodyOf(header)
        const work = delay.cancelByKey(requiredText(body, 'topic'), requiredText(body, 'key'))
        answerAfter(connection, header, work.then(settled), (result, request) =>
          answer(connection, request, { body: JSON.stringify(result) }),
        )
      },
    ],
  ])
}

function rescheduleOne(delay: DelayService, topic: string, uniqueKey: string, time: NewTime) {
  type Result = Awaited<ReturnType<DelayService['rescheduleByKey']>>
  return new Promise<Result>((resolve) =>
    // What it throws rejects.
    delay.reschedule(topic, uniqueKey, time, (outcome, place) =>
      resolve({ outcome, rescheduled: place === undefined ? [] : [place], fired: outcome === 'fired' ? 1 : 0 }),
    ),
  )
}

/** @throws {BrokerError} SERVICE_NOT_AVAILABLE */
function settled<T extends { outcome: string }>(result: T): T {
  if (result.outcome !== 'open') return result
  throw new BrokerError('SERVICE_NOT_AVAILABLE', 'the store failed, the outcome is open until the broker restarts')
}

/** Unique key in a handle. @throws {BrokerError} ILLEGAL_OPERATION, as RECALL_MESSAGE answers */
export function keyOfHandle(text: string, topic: string, brokerName: string): string {
  const handle = parseRecallHandle(text)
  if (handle === undefined) throw new BrokerError('ILLEGAL_OPERATION', 'recall failed, the handle is invalid')
  if (handle.topic !== topic) throw new BrokerError('ILLEGAL_OPERATION', 'recall failed, the topic does not match')
  if (handle.brokerName !== brokerName) {
    throw new BrokerError('ILLEGAL_OPERATION', `recall failed, ${handle.brokerName} is another broker`)
  }
  return handle.uniqueKey
}

function bodyOf(header: HeaderView, mayBeEmpty = false): Record<string, unknown> {
  const value = mayBeEmpty && header.bodyEnd === header.bodyStart ? {} : jsonBody(header)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new BrokerError('INVALID_PARAMETER', 'the body is no JSON object')
}

function textOf(body: Record<string, unknown>, name: string): string | undefined {
  const value = body[name]
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw new BrokerError('INVALID_PARAMETER', `${name} must be a text`)
}

function requiredText(body: Record<string, unknown>, name: string): string {
  const value = textOf(body, name)
  if (value === undefined) throw new BrokerError('INVALID_PARAMETER', `${name} is missing`)
  return value
}

function numberOf(body: Record<string, unknown>, name: string): number | undefined {
  const value = body[name]
  if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value))) return value
  throw new BrokerError('INVALID_PARAMETER', `${name} must be a whole number`)
}
