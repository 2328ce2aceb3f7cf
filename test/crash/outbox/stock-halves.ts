import type { Admin } from '@tandemmq/client'
import { SystemTopic } from '@tandemmq/protocol'

/** The group under which a stock broker goes through its half messages. */
const HALF_GROUP = 'CID_RMQ_SYS_TRANS'

/**
 * Half messages that stock brokers, which cannot be asked for them, have not come past: those in doubt are stored again behind
 * the others, so it is 0 when none is. Goes down only when they look, every 30 s by default.
 */
export async function heldByStockBrokers(admin: Admin): Promise<number> {
  const committed = new Map<string, bigint>()
  for (const { topic, brokerName, committedOffset } of await admin.progress(HALF_GROUP)) {
    if (topic === SystemTopic.HALF) committed.set(brokerName, committedOffset)
  }
  let held = 0
  for (const { brokerName, minOffset, maxOffset } of await admin.queueOffsets(SystemTopic.HALF))
    held += Number(maxOffset - (committed.get(brokerName) ?? minOffset))
  return held
}

/** Half messages of topics that begin with `prefix` and were given up, because they had been asked about too often. */
export async function parkedByStockBrokers(admin: Admin, prefix: string): Promise<number> {
  const from = new Date(Date.now() - 86_400_000)
  try {
    const parked = await admin.messages({ topic: SystemTopic.CHECK_MAX_TIME, from, limit: 10_000 })
    return parked.filter(({ properties }) => properties['REAL_TOPIC']?.startsWith(prefix)).length
  } catch (error) {
    // The topic begins with the first of them.
    if ((error as { code?: unknown }).code === 'ROUTE_NOT_FOUND') return 0
    throw error
  }
}
