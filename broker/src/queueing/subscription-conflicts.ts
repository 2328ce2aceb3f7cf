import type { Subscription } from './subscription.ts'

/** What a member wants of a topic, as text; empty = nothing. */
export const expressionOf = (subscription: Subscription | undefined): string =>
  subscription === undefined ? '' : `${subscription.expressionType} ${subscription.text}`

/** Same topics with the same expressions; a version alone is no change, clients raise it on every rebalance. */
export function sameInterest(a: ReadonlyMap<string, Subscription>, b: ReadonlyMap<string, Subscription>): boolean {
  if (a.size !== b.size) return false
  for (const [topic, subscription] of a) if (expressionOf(subscription) !== expressionOf(b.get(topic))) return false
  return true
}

/** A heartbeat that was overtaken by a newer one must not bring an older expression back. */
export function newest(
  before: ReadonlyMap<string, Subscription> | undefined,
  given: Map<string, Subscription>,
): Map<string, Subscription> {
  for (const [topic, subscription] of given) {
    const old = before?.get(topic)
    if (old !== undefined && old.version > subscription.version) given.set(topic, old)
  }
  return given
}

/** Members of a group that disagree about a topic. */
export interface SubscriptionConflict {
  topic: string
  /** Expression as `TAG a || b`, empty when the member has not subscribed; sorted by client id. */
  members: { clientId: string; expression: string }[]
}

/**
 * Topics on which members disagree: not all subscribe, or with different expressions. With client-side rebalancing the
 * group then misses messages, whatever a broker does: what one member filtered out nobody else is asked for.
 */
export function conflictsOf(
  members: readonly { clientId: string; subscriptions: ReadonlyMap<string, Subscription> }[],
): SubscriptionConflict[] {
  const topics = new Set(members.flatMap(({ subscriptions }) => [...subscriptions.keys()]))
  const conflicts: SubscriptionConflict[] = []
  for (const topic of topics) {
    const wants = members.map(({ clientId, subscriptions }) => ({
      clientId,
      expression: expressionOf(subscriptions.get(topic)),
    }))
    if (new Set(wants.map(({ expression }) => expression)).size < 2) continue
    conflicts.push({ topic, members: wants.toSorted((a, b) => (a.clientId < b.clientId ? -1 : 1)) })
  }
  return conflicts
}
