import { RequestCode } from '@tandemmq/protocol'
import type { Handler } from './handler.ts'
import { answer } from './request-body.ts'

/**
 * Tidying on demand: queue files 306, queues of deleted topics 316, expired log files 329. Here a queue ends with its log, a deleted
 * topic leaves no queues, and retention runs every minute, so what is asked for is so already and the answer is success.
 */
export function cleaningHandlers(): Map<number, Handler> {
  const done: Handler = (connection, header) => answer(connection, header)
  return new Map([
    [RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, done],
    [RequestCode.CLEAN_UNUSED_TOPIC, done],
    [RequestCode.DELETE_EXPIRED_COMMITLOG, done],
  ])
}
