import type { RemotingCommand } from '@tandemmq/protocol'
import { RecordView } from '@tandemmq/protocol'
import { ClientError, messageOf } from '../client-error.ts'
import { ConsumedMessage } from '../message/consumed-message.ts'
import { ReconsumeLater } from '../message/outcome.ts'
import type { AskedConsumer } from './asked-consumer.ts'
import { RunningHandler } from './subscription.ts'

/** ConsumeMessageDirectlyResult of the wire (remoting.md 2F, code 309). */
export interface DirectResult {
  readonly autoCommit: true
  readonly consumeResult: 'CR_SUCCESS' | 'CR_LATER' | 'CR_THROW_EXCEPTION'
  readonly order: boolean
  readonly remark?: string | undefined
  readonly spentTimeMills: number
}

/**
 * Handles one message because an operator asks for it, beside what the group consumes: nothing is committed, acknowledged
 * or given back, whatever the handler does.
 * @throws {ClientError} SUBSCRIPTION_NOT_EXIST, MESSAGE_ILLEGAL
 */
export async function consumeDirectly(consumer: AskedConsumer, request: RemotingCommand): Promise<DirectResult> {
  const { core, settings, subscriptions, group } = consumer
  const view = new RecordView()
  const brokerName = request.extFields['brokerName'] ?? ''
  if (!view.at(request.body, 0)) throw new ClientError('MESSAGE_ILLEGAL', 'the request carries no message')
  const message = new ConsumedMessage(request.body, 0, view, brokerName, group)
  const subscription = subscriptions.get(message.topic)
  if (subscription === undefined) {
    throw new ClientError('SUBSCRIPTION_NOT_EXIST', `group ${group} has no handler of topic ${message.topic}`)
  }
  const startedAt = core.clock.monotonic()
  const context = new RunningHandler(startedAt)
  const timer = core.clock.setTimer(settings.handlerTimeoutMs, () =>
    context.abort(new ClientError('ABORTED', `the handler ran for more than ${settings.handlerTimeoutMs} ms`)),
  )
  const result = (consumeResult: DirectResult['consumeResult'], remark?: string): DirectResult => ({
    autoCommit: true,
    consumeResult,
    order: consumer.consumption.isOrdered,
    remark,
    spentTimeMills: Math.round(core.clock.monotonic() - startedAt),
  })
  try {
    await subscription.handler(message, context)
    return result('CR_SUCCESS')
  } catch (error) {
    return error instanceof ReconsumeLater ? result('CR_LATER') : result('CR_THROW_EXCEPTION', messageOf(error))
  } finally {
    timer.cancel()
  }
}
