import { RequestCode, ResponseCode } from '@tandemmq/protocol'
import { errorOfAnswer } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { TopicRoute } from '../cluster/route.ts'
import { commitInit } from '../consumer/offset-requests.ts'
import type { ResetTarget } from './admin-history.ts'
import { targetOffset } from './admin-history.ts'

/** RocketMQ's "to the end" (ResetOffsetByTimeCommand.java). */
const RESET_TO_LAST = -1

/** Moves a group in every queue of the topic, on each broker of its route. */
export async function resetGroup(core: ClientCore, route: TopicRoute, group: string, topic: string, to: ResetTarget) {
  const timestamp = to === 'last' ? RESET_TO_LAST : to === 'first' ? 0 : to.getTime()
  const extFields = { topic, group, timestamp, isForce: true, queueId: -1, offset: -1 }
  const init = { code: RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, extFields }
  for (const { name, address } of route.brokers.values()) {
    if (address === undefined) continue
    const answer = await core.request(address, init)
    if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) await resetOffline(core, route, group, name, to)
    else if (answer.code !== ResponseCode.SUCCESS) {
      throw errorOfAnswer(answer.code, answer.remark, `reset ${group} in ${topic}`)
    }
  }
}

/** A stock broker resets running groups only; a stopped one is moved by committing for it. */
async function resetOffline(core: ClientCore, route: TopicRoute, group: string, brokerName: string, to: ResetTarget) {
  for (const queue of route.readQueues.filter((one) => one.brokerName === brokerName)) {
    const target = await targetOffset(core, queue, to)
    await core.ask(core.brokerAddress(brokerName), commitInit(group, queue, target), `reset ${group}`)
  }
}
