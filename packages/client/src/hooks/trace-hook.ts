import { CLIENT_VERSION, encodeProperties, PropertyName, RequestCode } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import { TEMPLATE_QUEUES, TEMPLATE_TOPIC } from '../cluster/route-table.ts'
import type { ConsumedMessage } from '../message/consumed-message.ts'
import { ReconsumeLater } from '../message/outcome.ts'
import { checkTopic, uniqueIds } from '../options.ts'
import type { Sending } from './hook-list.ts'
import type { CancelEvent, ClientHook, ConsumeEvent, EndEvent, SendEvent } from './hooks.ts'
import { TraceDispatcher } from './trace-dispatcher.ts'
import type { TraceStats } from './trace-dispatcher.ts'
import type { SubTrace } from './trace-records.ts'
import {
  endTransactionRecord,
  pubRecord,
  recallRecord,
  subAfterRecord,
  subBeforeRecord,
  TraceConsumeCode,
  TraceMessageType,
} from './trace-records.ts'

/** Where RocketMQ's tools look. */
export const TRACE_TOPIC = 'RMQ_SYS_TRACE_TOPIC'
const DEFAULT_REGION = 'DefaultRegion'
const CLOSE_MS_MAX = 2_000

const endStates = { commit: 'COMMIT_MESSAGE', rollback: 'ROLLBACK_MESSAGE', unknown: 'UNKNOW' } as const

/** Writes the message trace of one client, over that client's own connections. */
export class TraceHook implements ClientHook {
  readonly #core: ClientCore
  readonly #topic: string
  readonly #group: string
  readonly #ids: ReturnType<typeof uniqueIds>
  readonly #dispatcher: TraceDispatcher
  readonly #running = new WeakMap<ConsumeEvent, SubTrace>()
  #turn = 0

  constructor(core: ClientCore, group: string, topic: string) {
    this.#core = core
    this.#topic = topic
    // The name Java's dispatcher sends under, which its tools leave out of their lists.
    this.#group = `_INNER_TRACE_PRODUCER-${group}`
    this.#ids = uniqueIds(core.clock)
    const { clock, logger } = core
    this.#dispatcher = new TraceDispatcher({ clock, logger, send: (body, keys) => this.#send(body, keys) })
  }

  get stats(): TraceStats {
    return this.#dispatcher.stats
  }

  afterSend(event: SendEvent): void {
    const { message, receipt, messageId, kind } = event
    const { region } = event as Sending
    // Nobody knows what became of a one-way message.
    if (region === undefined || kind === 'oneway' || kind === 'reply' || message.topic === this.#topic) return
    const keys = keysOf(message.keys)
    const type = kind === 'delayed' || kind === 'half' || kind === 'ordered' ? kind : 'normal'
    const id = receipt?.messageId ?? messageId
    const text = pubRecord({
      at: event.startedAt,
      region,
      group: event.group,
      topic: message.topic,
      messageId: id,
      tags: message.tag,
      keys,
      storeHost: receipt && this.#core.routes.addressOf(receipt.brokerName),
      bodyBytes: event.bodyBytes,
      costMs: event.costMs,
      messageType: TraceMessageType[type],
      offsetMessageId: receipt?.offsetMessageId,
      succeeded: event.error === undefined,
    })
    this.#dispatcher.append(text, indexKeys(id, keys))
  }

  beforeConsume(event: ConsumeEvent): void {
    const { message } = event
    if (message.properties[PropertyName.TRACE_ON] === 'false' || message.topic === this.#topic) return
    const trace: SubTrace = {
      at: event.startedAt,
      region: message.properties[PropertyName.MSG_REGION] ?? DEFAULT_REGION,
      group: event.group,
      requestId: this.#ids.next(this.#core.clock.now()),
      messageId: message.messageId,
      retryTimes: message.reconsumeTimes,
      keys: message.properties[PropertyName.KEYS],
    }
    this.#running.set(event, trace)
    this.#dispatcher.append(subBeforeRecord(trace), indexKeys(trace.messageId, trace.keys))
  }

  afterConsume(event: ConsumeEvent): void {
    const trace = this.#running.get(event)
    if (trace === undefined) return
    const text = subAfterRecord(trace, event.costMs, event.succeeded, consumeCode(event))
    this.#dispatcher.append(text, indexKeys(trace.messageId, trace.keys))
  }

  afterEnd(event: EndEvent): void {
    // The broker did not hear of it, so it has not ended.
    if (event.error !== undefined || event.prepared.topic === this.#topic) return
    const { messageId, transactionId, topic, brokerName } = event.prepared
    const text = endTransactionRecord({
      at: Math.floor(this.#core.clock.now()),
      region: DEFAULT_REGION,
      group: event.group,
      topic,
      messageId,
      tags: undefined,
      keys: undefined,
      storeHost: this.#core.routes.addressOf(brokerName),
      transactionId,
      state: endStates[event.decision],
      fromCheck: event.fromCheck,
    })
    this.#dispatcher.append(text, messageId)
  }

  afterCancel(event: CancelEvent): void {
    if (!('messageId' in event.target)) return
    const { messageId, topic } = event.target
    const at = Math.floor(this.#core.clock.now())
    const text = recallRecord(at, DEFAULT_REGION, event.group, topic, messageId, event.outcome === 'cancelled')
    this.#dispatcher.append(text, messageId)
  }

  close(drainTimeoutMs: number): Promise<void> {
    return this.#dispatcher.close(Math.min(drainTimeoutMs, CLOSE_MS_MAX))
  }

  async #send(body: string, keys: string): Promise<void> {
    const { routes, clock } = this.#core
    const route = routes.find(this.#topic) ?? (await routes.loadForSend(this.#topic))
    const queue = route.writeQueues[this.#turn++ % Math.max(1, route.writeQueues.length)]
    if (queue === undefined) {
      routes.forget(this.#topic)
      throw new ClientError('ROUTE_NOT_FOUND', `trace topic ${this.#topic} has no writable queue`)
    }
    const now = clock.now()
    const properties = { UNIQ_KEY: this.#ids.next(now), KEYS: keys, WAIT: 'true' }
    const extFields = {
      ...{ a: this.#group, b: this.#topic, c: TEMPLATE_TOPIC, d: TEMPLATE_QUEUES, e: queue.queueId, f: 0 },
      ...{ g: Math.floor(now), h: 0, i: encodeProperties(properties).toString('utf8'), j: 0, k: false, m: false },
      n: queue.brokerName,
    }
    const init = { code: RequestCode.SEND_MESSAGE_V2, version: CLIENT_VERSION, extFields, body: Buffer.from(body) }
    await this.#core.ask(this.#core.brokerAddress(queue.brokerName), init, `trace to ${this.#topic}`)
  }
}

/** @throws {ClientError} OPTION_INVALID, TOPIC_NAME_INVALID */
export function traceTopicOf(trace: boolean | string | undefined): string | undefined {
  if (trace === undefined || trace === false) return undefined
  if (trace === true) return TRACE_TOPIC
  if (typeof trace === 'string') return checkTopic(trace)
  throw new ClientError('OPTION_INVALID', `trace must be true, false or a topic name, not ${String(trace)}`)
}

function consumeCode(event: ConsumeEvent): number {
  if (event.succeeded) return TraceConsumeCode.success
  return event.error instanceof ReconsumeLater ? TraceConsumeCode.failed : TraceConsumeCode.exception
}

function keysOf(keys: SendEvent['message']['keys']): string | undefined {
  return typeof keys === 'string' ? keys : keys?.join(' ')
}

function indexKeys(messageId: ConsumedMessage['messageId'], keys: string | undefined): string {
  return keys === undefined || keys === '' ? messageId : `${messageId} ${keys}`
}
