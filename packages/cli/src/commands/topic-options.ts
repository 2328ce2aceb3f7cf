import type { TopicSettings } from '@tandemmq/client'
import type { Call, OptionSpec } from '../command.ts'
import { UsageError } from '../command.ts'

const perms: Readonly<Record<string, number>> = { read: 4, write: 2, 'read+write': 6, none: 0 }

/** Settings of a topic beside its queues, the same when it is created and when it is changed. */
export const topicOptions: Readonly<Record<string, OptionSpec>> = {
  perm: { value: 'WHAT', help: 'read, write, read+write or none' },
  order: { value: 'yes|no', help: 'the topic is ordered: its route names the queues that must exist' },
  type: { value: 'TYPE', help: 'normal, or priority: each queue is one, the highest number first' },
  'dedup-window-ms': { value: 'N', help: 'how long repeats are recognised, at most 7 days; 0: never' },
  attribute: { value: 'NAME=VALUE', help: 'an attribute of the topic, e.g. message.type=FIFO', multiple: true },
}

/** What the caller gave of them. */
export function topicChanges(call: Call) {
  const perm = choice(call, 'perm', perms)
  const order = choice(call, 'order', { yes: true, no: false })
  const attributes: Record<string, string | undefined> = {}
  for (const text of call.texts('attribute')) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(text) ?? []
    if (name === undefined) throw new UsageError(`--attribute takes NAME=VALUE, not "${text}"`)
    // An empty value takes it away.
    attributes[name] = value === '' ? undefined : value
  }
  const type = choice(call, 'type', { normal: 'NORMAL', priority: 'PRIORITY' })
  if (type !== undefined) attributes['message.type'] = type
  const dedupWindowMs = call.integer('dedup-window-ms')
  if (dedupWindowMs !== undefined) attributes['tandem.dedup.window.ms'] = String(dedupWindowMs)
  return { perm, order, attributes }
}

/** @throws {UsageError} when the option has a value that is none of `values` */
export function choice<T>(call: Call, option: string, values: Readonly<Record<string, T>>): T | undefined {
  const given = call.text(option)
  if (given === undefined) return undefined
  if (!Object.hasOwn(values, given)) {
    throw new UsageError(`--${option} is one of ${Object.keys(values).join(', ')}, not "${given}"`)
  }
  return values[given]
}

/** Brokers that keep more queues to read from than asked for, because they hold messages. */
export function keptQueues(asked: number, brokers: readonly TopicSettings[]) {
  return brokers
    .filter(({ readQueues }) => readQueues > asked)
    .map(({ brokerName, readQueues }) => ({ brokerName, readQueues }))
}

export const keptText = ({ brokerName, readQueues }: { brokerName: string; readQueues: number }): string =>
  `${brokerName} still reads from ${readQueues} queues, which hold messages: repeat this when they are empty`
