import type { ConsumedMessage } from '@tandemmq/client'
import type { ListenerOptions } from './listener-options.ts'

const JSON_STARTS = /^\s*[[{"]/
/** What begins otherwise is no JSON, and need not be tried: a failed try costs more than a successful one. */
const MAYBE_JSON = /^\s*[-\dtfn]/

/**
 * The payload of a message, as {@link ListenerOptions.payload} says.
 * @throws what the reader or `JSON.parse` throws; the caller rejects the message with it
 */
export function payloadOf(message: ConsumedMessage, as: ListenerOptions['payload']): unknown {
  if (typeof as === 'function') return as(message)
  if (as === 'bytes') return message.body
  const text = message.text()
  if (as === 'text') return text
  if (as === 'json') return JSON.parse(text)
  return valueOf(text)
}

/** JSON where the text is or must be JSON, else the text itself. @throws {SyntaxError} */
export function valueOf(text: string): unknown {
  if (text === '') return undefined
  if (JSON_STARTS.test(text)) return JSON.parse(text)
  if (!MAYBE_JSON.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
