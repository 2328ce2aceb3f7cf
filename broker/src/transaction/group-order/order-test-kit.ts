import { SystemTopic } from '@tandemmq/protocol'
import { DelayService } from '../../delay/index.ts'
import { Completion, message, ScriptLog, testClock } from '../../log-test-kit.ts'
import { type Outcome, TransactionService } from '../index.ts'
import { GroupOrder, type GroupOrderOptions } from './index.ts'

export type Place = { physicalOffset: number; queueOffset: number }

/** Transactions, delays and the order of groups on a log in memory, recovered from what the log holds. */
export function orderOnScriptLog(options: { log?: ScriptLog } & Partial<GroupOrderOptions> = {}) {
  const log = (options.log as ScriptLog | undefined) ?? new ScriptLog(testClock())
  log.flushSoon = true
  const { clock } = log
  const news: string[] = []
  const order = new GroupOrder({ onNews: (line) => news.push(line), ...options, clock, log })
  const service = new TransactionService({ clock, log, order, ask: () => false })
  const delay = new DelayService({ clock, log })
  log.delay = delay
  log.order = order
  log.replayInto(service, order, delay)
  service.start()
  order.start((half) => service.isPending(half))
  delay.start()
  const send = (body: string, key: string | undefined, topic = 'orders', properties: Record<string, string> = {}) => {
    const own = { UNIQ_KEY: body, ...(key !== undefined && { __SHARDINGKEY: key }), ...properties }
    const { fields, scan } = message(topic, body, own, 2)
    const completion = new Completion()
    const deliverAt = delay.deliverAt(scan, fields.properties)
    if (deliverAt > 0) delay.append(fields, deliverAt, completion)
    else if (order.isActive && order.holds(topic, scan)) order.append(fields, completion)
    else log.append(topic, 2, fields, completion)
    return { completion, physicalOffset: fields.physicalOffset }
  }
  const half = (body: string, key: string | undefined, topic = 'orders', properties: Record<string, string> = {}) => {
    const own = { UNIQ_KEY: body, TRAN_MSG: 'true', ...(key !== undefined && { __SHARDINGKEY: key }), ...properties }
    const { fields, scan } = message(topic, body, { ...own, PGROUP: 'shop' }, 2)
    service.appendHalf(fields, scan, 'shop', 1)
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  }
  const end = (place: Place, decision: 'commit' | 'rollback'): Outcome[] => {
    const answers: Outcome[] = []
    service.end({ group: 'shop', ...place, decision, fromCheck: false }, (outcome) => answers.push(outcome))
    return answers
  }
  const turn = () => clock.advance(1)
  const seen = (topic = 'orders'): string[] => log.messages(topic).map(({ body }) => body.toString())
  const held = (): string[] => log.messages(SystemTopic.HELD).map(({ body }) => body.toString())
  const close = () => {
    order.close()
    service.close()
    delay.close()
  }
  return { log, clock, order, service, delay, news, send, half, end, turn, seen, held, close }
}
