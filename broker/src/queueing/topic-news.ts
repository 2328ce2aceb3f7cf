import { RequestCode } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { ConsumerGroups } from './consumer-groups.ts'
import type { Topics } from './topics.ts'

/**
 * Tells the members of groups that their topic has other queues than before, or exists at last: they would see it at their
 * next look at the route, within 30 s. It is the notification of a changed group with the topic beside it; to a client that
 * does not know the field it says to share the queues again.
 */
export function tellTopicNews(options: { clock: Clock; topics: Topics; groups: ConsumerGroups }): void {
  const { clock, topics, groups } = options
  const changed = new Set<string>()
  topics.listeners.push(({ name }, change) => {
    // Who waits at a deleted topic is told by the answer.
    if (change === 'deleted') return
    // However many topics change in one turn, the members are looked through once.
    if (changed.size === 0) clock.soon(() => tell(groups, changed))
    changed.add(name)
  })
}

function tell(groups: ConsumerGroups, changed: Set<string>): void {
  for (const group of groups.online()) {
    if (groups.find(group)?.config.notifyConsumerIdsChangedEnable === false) continue
    for (const { connection, subscriptions } of groups.members(group)) {
      for (const topic of changed) {
        if (!connection.isOpen || !subscriptions.has(topic)) continue
        const extFields = { consumerGroup: group, topic }
        connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields })
      }
    }
  }
  changed.clear()
}
