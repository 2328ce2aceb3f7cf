import type { World } from './world.ts'

/** Where Apache RocketMQ keeps half messages, and the group under which it goes through them. */
const HALF_TOPIC = 'RMQ_SYS_TRANS_HALF_TOPIC'
const HALF_GROUP = 'CID_RMQ_SYS_TRANS'
/** It looks every 30 s by default, at those older than 6 s. */
const LOOK_SECONDS = 45

/** Half messages nobody has decided about, when the broker had its time to look at them. */
export async function openHalves(world: World): Promise<string[]> {
  if (world.isTandemMQ) return (await world.admin.transactions()).map(({ keys }) => keys)
  let open = 0
  const deadline = performance.now() + LOOK_SECONDS * 1_000
  await world.until('half messages', (LOOK_SECONDS + 5) * 1_000, async () => {
    open = await notPassed(world)
    return open === 0 || performance.now() > deadline
  })
  return Array.from({ length: open }, () => 'half message')
}

/** Those the broker has not come past, also of others who use it: what is in doubt it stores again behind the others. */
async function notPassed({ admin }: World): Promise<number> {
  const passed = new Map<string, bigint>()
  for (const { topic, brokerName, committedOffset } of await admin.progress(HALF_GROUP)) {
    if (topic === HALF_TOPIC) passed.set(brokerName, committedOffset)
  }
  let open = 0
  for (const { brokerName, minOffset, maxOffset } of await admin.queueOffsets(HALF_TOPIC))
    open += Number(maxOffset - (passed.get(brokerName) ?? minOffset))
  return open
}
