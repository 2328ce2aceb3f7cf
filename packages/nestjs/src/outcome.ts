import { Logger } from '@nestjs/common'
import { conform, ReconsumeLater, RejectMessage } from '@tandemmq/client'
import type { ConsumedMessage, MessageHandler } from '@tandemmq/client'
import type { Invocation } from './listener-invoker.ts'
import type { ListenerOptions } from './listener-options.ts'
import { payloadOf } from './payload.ts'
import { TandemContext } from './tandem-context.ts'

const logger = new Logger('TandemListener')

/** How one listener is run and how its failures are told apart. */
export interface ListenerRun {
  name: string
  options: ListenerOptions
  invoke: Invocation
  isPayloadRefusal(context: TandemContext, error: unknown): boolean
  /** Sends what the listener returned to who asked with `request`. */
  reply(message: ConsumedMessage, value: unknown): Promise<void>
}

// What RocketMQ's request-reply puts on a request (RequestResponseFuture, MessageConst.java).
const REPLY_TO = 'REPLY_TO_CLIENT'

/**
 * What becomes of a message, in one place:
 *
 * | the listener | the message |
 * | --- | --- |
 * | returns, also an Observable without a value | consumed; of a request: the value is the reply |
 * | throws anything, a guard refuses | delivered again later, at last dead letter |
 * | throws `ReconsumeLater` | delivered again after that delay, still counted |
 * | throws `RejectMessage`; the payload cannot be read; a pipe refuses it | dead letter at once, with the reason |
 */
export function messageHandlerOf(run: ListenerRun): MessageHandler {
  return async (message, delivery) => {
    const context = new TandemContext([message, run.options.group, delivery])
    let payload: unknown
    try {
      payload = payloadOf(message, run.options.payload)
      if (run.options.schema !== undefined) payload = await conform(run.options.schema, payload, 'payload')
    } catch (error) {
      throw rejected(run, context, 'payload cannot be read', error)
    }
    let value: unknown
    try {
      value = await run.invoke(payload, context)
    } catch (error) {
      if (run.isPayloadRefusal(context, error)) throw rejected(run, context, 'payload refused', error)
      if (error instanceof ReconsumeLater) throw error
      if (error instanceof RejectMessage) logger.warn(`${describe(run, context)} rejected: ${error.message}`)
      else logger.error(`${describe(run, context)} failed: ${reasonOf(error)}`, (error as Error | undefined)?.stack)
      throw error
    }
    if (message.properties[REPLY_TO] !== undefined) await reply(run, context, value)
  }
}

/** The work is done: a requester that is gone is no reason to do it again. */
async function reply(run: ListenerRun, context: TandemContext, value: unknown): Promise<void> {
  try {
    await run.reply(context.getMessage(), value ?? null)
  } catch (error) {
    logger.warn(`${describe(run, context)}: no reply, ${reasonOf(error)}`)
  }
}

function rejected(run: ListenerRun, context: TandemContext, what: string, error: unknown): RejectMessage {
  const reason = `${what}: ${reasonOf(error)}`
  logger.warn(`${describe(run, context)} rejected: ${reason}`)
  return new RejectMessage(reason, { cause: error })
}

function describe(run: ListenerRun, context: TandemContext): string {
  return (
    `${run.name}: message ${context.getMessageId()} of topic ${context.getTopic()}, group ${context.getGroup()}, ` +
    `attempt ${context.getAttempt()}`
  )
}

/** ValidationPipe puts the interesting part into the response of its exception. */
export function reasonOf(error: unknown): string {
  const response = (error as { getResponse?: () => unknown } | undefined)?.getResponse?.()
  const details = (response as { message?: unknown } | undefined)?.message
  if (Array.isArray(details)) return details.join('; ')
  return error instanceof Error ? error.message : String(error)
}
