import type { StoredMessage } from '@tandemmq/broker'

/** A message found in a topic. */
export interface SentMessage<Body = unknown> {
  /** Parsed where the body is JSON, else its text. */
  body: Body
  /** Empty text when it has none. */
  tag: string
  keys: string[]
  /** All of them, the system's own included. */
  properties: Readonly<Record<string, string>>
  messageId: string
  queueId: number
  bytes: Buffer
}

export function sentMessageOf({ body, properties, queueId, offsetMessageId }: StoredMessage): SentMessage {
  const keys = (properties['KEYS'] ?? '').split(' ').filter((key) => key !== '')
  const messageId = properties['UNIQ_KEY'] ?? offsetMessageId
  return {
    body: parsed(body.toString()),
    tag: properties['TAGS'] ?? '',
    keys,
    properties,
    messageId,
    queueId,
    bytes: body,
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
