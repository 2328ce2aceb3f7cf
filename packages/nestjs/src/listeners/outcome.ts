import { Logger } from '@nestjs/common'
import { conform, ReconsumeLater, RejectMessage } from '@tandemmq/client'
import type { ConsumedMessage, MessageHandler, StandardSchema } from '@tandemmq/client'
import { isObservable, lastValueFrom } from 'rxjs'
import type { Observable } from 'rxjs'
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
  const { invoke, options } = run
  const { schema } = options
  // A reader of the application's own refuses messages also where nobody looks at what it made.
  const readsPayload = invoke.readsPayload !== false || options.payload !== undefined
  // No promise for a listener that needs none.
  return (message, delivery) => {
    const context = new TandemContext([message, options.group, delivery])
    if (schema !== undefined) return checked(run, context, schema)
    return handled(run, context, readsPayload ? readPayload(run, context) : undefined)
  }
}

async function checked(run: ListenerRun, context: TandemContext, schema: StandardSchema): Promise<void> {
  const read = readPayload(run, context)
  let payload: unknown
  try {
    payload = await conform(schema, read, 'payload')
  } catch (error) {
    throw rejected(run, context, 'payload cannot be read', error)
  }
  await handled(run, context, payload)
}

function handled(run: ListenerRun, context: TandemContext, payload: unknown): Promise<void> | void {
  let value: unknown
  try {
    value = run.invoke(payload, context)
  } catch (error) {
    throw failed(run, context, error)
  }
  if (isObservable(value) || isThenable(value)) return settled(run, context, value)
  return context.getMessage().isRequest ? reply(run, context, value) : undefined
}

async function settled(run: ListenerRun, context: TandemContext, result: Result): Promise<void> {
  let value: unknown
  try {
    value = isObservable(result) ? await lastValueFrom(result, { defaultValue: undefined }) : await result
  } catch (error) {
    throw failed(run, context, error)
  }
  if (context.getMessage().isRequest) await reply(run, context, value)
}

type Result = Observable<unknown> | PromiseLike<unknown>

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function readPayload(run: ListenerRun, context: TandemContext): unknown {
  try {
    return payloadOf(context.getMessage(), run.options.payload)
  } catch (error) {
    throw rejected(run, context, 'payload cannot be read', error)
  }
}

/** What the client is told of what the listener threw. */
function failed(run: ListenerRun, context: TandemContext, error: unknown): unknown {
  if (run.isPayloadRefusal(context, error)) return rejected(run, context, 'payload refused', error)
  if (error instanceof ReconsumeLater) return error
  if (error instanceof RejectMessage) logger.warn(`${describe(run, context)} rejected: ${error.message}`)
  else logger.error(`${describe(run, context)} failed: ${reasonOf(error)}`, (error as Error | undefined)?.stack)
  return error
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
