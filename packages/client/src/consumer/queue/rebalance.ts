import type { MessageQueue } from '../../cluster/route.ts'
import { compareText } from '../../cluster/route.ts'

/** Order all members of a group agree on, Java ones included: topic, broker name, queue id. */
export function sortQueues(queues: readonly MessageQueue[]): MessageQueue[] {
  return queues.toSorted(
    (a, b) => compareText(a.topic, b.topic) || compareText(a.brokerName, b.brokerName) || a.queueId - b.queueId,
  )
}

/**
 * The share of member `me`: consecutive queues, sizes that differ by one at most (strategy AVG, remoting.md 4.5).
 * Queues and members must be sorted; every member computes this alone, and no queue may end up with two.
 */
export function averageShare(queues: readonly MessageQueue[], members: readonly string[], me: string): MessageQueue[] {
  const index = members.indexOf(me)
  if (index < 0) return []
  const rest = queues.length % members.length
  const floor = Math.floor(queues.length / members.length)
  const size = queues.length <= members.length ? 1 : floor + (index < rest ? 1 : 0)
  const start = rest > 0 && index < rest ? index * size : index * size + rest
  return queues.slice(start, start + Math.max(0, Math.min(size, queues.length - start)))
}
