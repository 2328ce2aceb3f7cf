import { TandemError } from '@tandemmq/client'
import type { ListenerOptions } from '../listeners/listener-options.ts'
import { checkSettings, perConsumer } from '../listeners/listener-plan.ts'
import type { PlannedListener } from '../listeners/listener-plan.ts'
import type { PatternExtras } from './tandem-patterns.ts'

/** A controller's handler and the subscription it asked for. */
export interface TransportHandler<H> {
  name: string
  options: ListenerOptions
  handler: H
}

/**
 * The options of a handler registered with `pattern`: a topic, or `topic:tag` as Spring's destinations are written.
 * @throws {TandemError} LISTENER_INVALID for a pattern that is no text, and for tags both in it and beside it
 */
export function handlerOptions(pattern: unknown, extras: PatternExtras, group: string): ListenerOptions {
  if (typeof pattern !== 'string' || pattern === '') {
    refuse(`pattern ${JSON.stringify(pattern)} is no topic; a handler names one topic, and tags beside it`)
  }
  const { handler: _name, connection: _connection, ...rest } = extras
  const [topic = '', tag] = pattern.split(':', 2)
  if (tag !== undefined && (rest.tags !== undefined || rest.sql !== undefined)) {
    refuse(`pattern ${pattern} has a tag and its options choose messages as well`)
  }
  return { ...rest, ...(tag === undefined ? {} : { tags: [tag] }), group: rest.group ?? group, topic }
}

/** Group, topic and tag of each way a message can reach the handler; Nest's own map would merge groups and tags. */
export function handlerKeys({ group, topic, tags, sql }: ListenerOptions): string[] {
  return [...new Set(selectorsOf({ tags, sql }))].map((selector) => JSON.stringify([group, topic, selector]))
}

/**
 * One subscription per group and topic, which all its handlers share by tag.
 * @throws {TandemError} LISTENER_INVALID when a message could reach two of them, or their settings contradict each other
 */
export function subscriptionsOf<H>(handlers: readonly TransportHandler<H>[]): PlannedListener<TransportHandler<H>[]>[] {
  const subscriptions = new Map<string, PlannedListener<TransportHandler<H>[]>>()
  for (const handler of handlers) {
    const { group, topic } = handler.options
    const key = JSON.stringify([group, topic])
    const known = subscriptions.get(key)
    if (known === undefined) {
      subscriptions.set(key, { name: handler.name, options: handler.options, handler: [handler] })
      continue
    }
    for (const other of known.handler) checkApart(other, handler)
    checkSettings(known.handler, handler)
    known.handler.push(handler)
    known.name = known.handler.map(({ name }) => name).join(', ')
    known.options = merged(known.options, handler.options)
  }
  return [...subscriptions.values()]
}

function checkApart(one: TransportHandler<unknown>, other: TransportHandler<unknown>): void {
  const selectors = selectorsOf(other.options)
  const shared = selectorsOf(one.options).find((selector) => selectors.includes(selector))
  const areTags = one.options.tags !== undefined && other.options.tags !== undefined
  if (areTags && shared === undefined) return
  const what = areTags ? `${shared} of topic ${one.options.topic}` : `topic ${one.options.topic}`
  refuse(
    `${one.name} and ${other.name} both handle ${what} in group ${one.options.group}; give one of them another group, or ` +
      'give each tags of its own',
  )
}

function merged(a: ListenerOptions, b: ListenerOptions): ListenerOptions {
  const settings = Object.fromEntries(perConsumer.map((field) => [field, a[field] ?? b[field]]))
  const set = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
  return { topic: a.topic, group: a.group, tags: [...(a.tags ?? []), ...(b.tags ?? [])], ...set }
}

function selectorsOf({ tags, sql }: { tags?: readonly string[] | undefined; sql?: string | undefined }): string[] {
  return sql === undefined ? (tags?.map((tag) => `tag ${tag}`) ?? ['*']) : [`sql ${sql}`]
}

function refuse(detail: string): never {
  throw new TandemError('LISTENER_INVALID', detail)
}
