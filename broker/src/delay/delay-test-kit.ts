import { Completion, message, ScriptLog, testClock } from '../log-test-kit.ts'
import { type CancelOutcome, DelayService, type DelayServiceOptions, type NewTime, type TimerPlace } from './index.ts'

/** The delay room on a log in memory, recovered from what the log holds. */
export function delayOnScriptLog(options: { log?: ScriptLog } & Partial<DelayServiceOptions> = {}) {
  const log = (options.log as ScriptLog | undefined) ?? new ScriptLog(testClock())
  log.flushSoon = true
  const { clock } = log
  const findByKey = (topic: string, key: string): number[] =>
    log
      .messages(topic)
      .filter(({ properties }) => properties['KEYS']?.split(' ').includes(key) || properties['UNIQ_KEY'] === key)
      .map(({ physicalOffset }) => Number(physicalOffset))
      .toReversed()
  const service = new DelayService({ findByKey, ...options, clock, log })
  log.delay = service
  log.replayInto(service)
  service.start()
  const send = (id: string, properties: Record<string, string>, topic = 'orders', queueId = 1) => {
    const { fields, scan } = message(topic, id, { UNIQ_KEY: id, TAGS: 't', ...properties }, queueId)
    const deliverAt = service.deliverAt(scan, fields.properties)
    const completion = new Completion()
    if (deliverAt === 0) log.append(topic, queueId, fields, completion)
    else service.append(fields, deliverAt, completion)
    return completion
  }
  const cancel = (id: string, topic = 'orders'): CancelOutcome[] => {
    const answers: CancelOutcome[] = []
    service.cancel(topic, id, (outcome) => answers.push(outcome))
    return answers
  }
  const reschedule = (id: string, time: NewTime, topic = 'orders'): { outcome: string; place?: TimerPlace }[] => {
    const answers: { outcome: string; place?: TimerPlace }[] = []
    service.reschedule(topic, id, time, (outcome, place) => answers.push({ outcome, ...(place && { place }) }))
    return answers
  }
  return { log, clock, service, send, cancel, reschedule }
}
