import { BrokerError } from '../broker-error.ts'

/** Attributes of topics this broker acts on: RocketMQ's, and at the end our own. */
export const TopicAttribute = {
  /** `PRIORITY`: a message's priority is the number of its queue, and pops take from the highest first. */
  MESSAGE_TYPE: 'message.type',
  /** How long repeated keys are recognised, ms by store time: 0 switches it off, at most 7 days. Absent: the broker's `dedupWindowMs`. */
  DEDUP_WINDOW_MS: 'tandem.dedup.window.ms',
} as const

export const DEDUP_WINDOW_MS_MAX = 7 * 86_400_000

const choices: Record<string, readonly string[] | undefined> = {
  // Whose default behaviour is ours; any other value would be a promise not kept.
  'queue.type': ['SimpleCQ'],
  'cleanup.policy': ['DELETE'],
  [TopicAttribute.MESSAGE_TYPE]: ['UNSPECIFIED', 'NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'MIXED', 'PRIORITY'],
}

/** @returns false for an attribute this broker does not have */
const isKnown = (name: string): boolean => name === TopicAttribute.DEDUP_WINDOW_MS || Object.hasOwn(choices, name)

function isAllowed(name: string, value: string): boolean {
  if (!isKnown(name)) return false
  if (name !== TopicAttribute.DEDUP_WINDOW_MS) return choices[name]?.includes(value) === true
  return /^\d{1,9}$/.test(value) && Number(value) <= DEDUP_WINDOW_MS_MAX
}

/**
 * @param changes `+name=value,-name`, empty for none
 * @throws {BrokerError} INVALID_PARAMETER on an attribute or value this broker does not have, or one named twice
 */
export function changedAttributes(before: Record<string, string>, changes: string): Record<string, string> {
  const after = { ...before }
  const seen = new Set<string>()
  for (const change of changes.split(',').map((text) => text.trim())) {
    if (change === '') continue
    const [name = '', value] = change.slice(1).split('=')
    const removes = change.startsWith('-') && value === undefined
    const sets = change.startsWith('+') && value !== undefined && isAllowed(name, value)
    if (!isKnown(name) || (!removes && !sets) || seen.has(name)) {
      throw new BrokerError('INVALID_PARAMETER', `topic attribute "${change}" is not supported`)
    }
    seen.add(name)
    if (removes) delete after[name]
    else after[name] = value as string
  }
  return after
}

/** What the hot paths read instead of the attributes. */
export function attributeSettings(attributes: Record<string, string>): { dedupWindowMs: number; isPriority: boolean } {
  const window = attributes[TopicAttribute.DEDUP_WINDOW_MS]
  return {
    dedupWindowMs: window === undefined ? -1 : Number(window),
    isPriority: attributes[TopicAttribute.MESSAGE_TYPE] === 'PRIORITY',
  }
}
