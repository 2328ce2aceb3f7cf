import { ClientError } from '../client-error.ts'

/** What a topic does beyond its queues; kept as RocketMQ's topic attributes. */
export interface TopicFeatures {
  /**
   * `priority`: each queue is a priority, the highest number first, see `OutgoingMessage.priority`; `normal` takes it back. Apache RocketMQ:
   * 5.4 and later.
   */
  type?: 'normal' | 'priority' | undefined
  /**
   * How long a repeated message id or `dedupKey` is recognised: 0 = never, at most 7 days, `'default'` = as the broker says. Apache RocketMQ
   * refuses it.
   */
  dedupWindowMs?: number | 'default' | undefined
}

const WEEK_MS = 604_800_000

/**
 * The `attributes` field of UPDATE_AND_CREATE_TOPIC.
 * @throws {ClientError} OPTION_INVALID
 */
export function attributeChanges({ type, dedupWindowMs }: TopicFeatures): string {
  const changes: string[] = []
  if (type !== undefined) {
    if (type !== 'normal' && type !== 'priority') {
      throw new ClientError('OPTION_INVALID', `type must be "normal" or "priority", not ${JSON.stringify(type)}`)
    }
    changes.push(`+message.type=${type.toUpperCase()}`)
  }
  if (dedupWindowMs === 'default') changes.push('-tandem.dedup.window.ms')
  else if (dedupWindowMs !== undefined) {
    if (!Number.isInteger(dedupWindowMs) || dedupWindowMs < 0 || dedupWindowMs > WEEK_MS) {
      const detail = `dedupWindowMs must be a whole number from 0 to ${WEEK_MS} or "default", not ${dedupWindowMs}`
      throw new ClientError('OPTION_INVALID', detail)
    }
    changes.push(`+tandem.dedup.window.ms=${dedupWindowMs}`)
  }
  return changes.join(',')
}
