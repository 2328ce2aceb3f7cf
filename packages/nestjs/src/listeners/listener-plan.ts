import { TandemError } from '@tandemmq/client'
import type { BatchOptions, ListenerDefaults, ListenerOptions } from './listener-options.ts'

/** One handler and what it listens to. `name` is what logs and errors call it, e.g. `Billing.onMessage`. */
export interface PlannedListener<H> {
  name: string
  options: ListenerOptions
  handler: H
}

/** One consumer: all listeners of one group. */
export interface ConsumerPlan<H> {
  group: string
  settings: ConsumerSettings
  listeners: PlannedListener<H>[]
}

/** Settings RocketMQ knows per consumer, hence per group. Only what somebody set is present. */
export type ConsumerSettings = Pick<
  ListenerOptions,
  'mode' | 'ordered' | 'concurrencyMax' | 'attemptsMax' | 'startFrom'
> & { drainTimeoutMs?: number }

export const perConsumer = ['mode', 'ordered', 'concurrencyMax', 'attemptsMax', 'startFrom'] as const

/**
 * Puts the listeners of one group on one consumer: RocketMQ requires that all members of a group have the same
 * subscriptions, so a second consumer of the group in this process would steal half the queues of the first.
 * @throws {TandemError} LISTENER_INVALID when two listeners contradict each other or one is incomplete
 */
export function planConsumers<H>(
  listeners: readonly PlannedListener<H>[],
  defaults: ListenerDefaults,
): ConsumerPlan<H>[] {
  const plans = new Map<string, ConsumerPlan<H>>()
  for (const listener of listeners) {
    checkAlone(listener)
    const { group } = listener.options
    const plan = plans.get(group)
    if (plan === undefined) plans.set(group, { group, settings: {}, listeners: [listener] })
    else {
      checkTogether(plan, listener)
      plan.listeners.push(listener)
    }
  }
  for (const plan of plans.values()) plan.settings = settingsOf(plan, defaults)
  return [...plans.values()]
}

function checkAlone({ name, options }: PlannedListener<unknown>): void {
  for (const field of ['topic', 'group'] as const) {
    if (typeof options[field] !== 'string' || options[field] === '') refuse(`${name} has no ${field}`)
  }
  if (options.sql !== undefined && options.tags !== undefined) refuse(`${name} has both tags and sql; use one of them`)
  if (options.tags?.length === 0) refuse(`${name} has an empty list of tags; leave it out to get every message`)
  if (options.batch !== undefined) checkBatch(name, options, options.batch)
}

function checkBatch(name: string, options: ListenerOptions, { sizeMax, waitMs = 0 }: BatchOptions): void {
  if (!Number.isInteger(sizeMax) || sizeMax < 1) refuse(`${name}: batch.sizeMax must be a whole number from 1`)
  if (!(waitMs >= 0)) refuse(`${name}: batch.waitMs must be a number from 0`)
  // In order there is one message of a queue at a time, and nothing to gather.
  if (options.ordered === true) refuse(`${name} has both batch and ordered; use one of them`)
  if (options.inbox !== undefined && options.inbox !== false)
    refuse(`${name} has both batch and inbox; use one of them`)
}

function checkTogether(plan: ConsumerPlan<unknown>, listener: PlannedListener<unknown>): void {
  const twin = plan.listeners.find(({ options }) => canBothHear(options, listener.options))
  if (twin !== undefined) {
    refuse(
      `${twin.name} (${selectorText(twin.options)}) and ${listener.name} (${selectorText(listener.options)}) both listen to ` +
        `topic ${listener.options.topic} in group ${plan.group}; a group has one subscription per topic: give one of them ` +
        'another group, or each tags of its own',
    )
  }
  const unlike = plan.listeners.find(({ options }) => options.batch?.sizeMax !== listener.options.batch?.sizeMax)
  if (unlike !== undefined) {
    refuse(`${unlike.name} and ${listener.name} share group ${plan.group} but not the same batch.sizeMax`)
  }
  checkSettings(plan.listeners, listener)
}

/** Listeners of one group that share a topic do so by tag. */
function canBothHear(one: ListenerOptions, other: ListenerOptions): boolean {
  if (one.topic !== other.topic) return false
  return one.tags === undefined || other.tags === undefined || one.tags.some((tag) => other.tags?.includes(tag))
}

type Named = Pick<PlannedListener<unknown>, 'name' | 'options'>

/** @throws {TandemError} LISTENER_INVALID when `listener` wants another setting than `others` of its group */
export function checkSettings(others: readonly Named[], listener: Named): void {
  for (const field of perConsumer) {
    const other = others.find(({ options }) => differs(options[field], listener.options[field]))
    if (other !== undefined) {
      refuse(`${other.name} and ${listener.name} share group ${listener.options.group} but not the same ${field}`)
    }
  }
}

function differs(a: unknown, b: unknown): boolean {
  return a !== undefined && b !== undefined && JSON.stringify(a) !== JSON.stringify(b)
}

function selectorText({ tags, sql }: ListenerOptions): string {
  return sql === undefined ? (tags?.join(' || ') ?? '*') : `sql: ${sql}`
}

function settingsOf(plan: ConsumerPlan<unknown>, defaults: ListenerDefaults): ConsumerSettings {
  const { concurrencyMax, attemptsMax, startFrom, drainTimeoutMs } = defaults
  const layers: ConsumerSettings[] = [{ concurrencyMax, attemptsMax, startFrom, drainTimeoutMs } as ConsumerSettings]
  for (const { options } of plan.listeners) {
    layers.push(Object.fromEntries(perConsumer.map((field) => [field, options[field]])))
  }
  const set = layers.flatMap((layer) => Object.entries(layer)).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set)
}

function refuse(detail: string): never {
  throw new TandemError('LISTENER_INVALID', detail)
}
