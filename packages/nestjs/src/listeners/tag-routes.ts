import { TandemError } from '@tandemmq/client'
import type { MessageHandler } from '@tandemmq/client'

/** A handler and the tags it is for; undefined: all that no other one has. */
export interface TagRoute {
  tags: readonly string[] | undefined
  handler: MessageHandler
}

/** One handler for a subscription that several share by tag. */
export function routedByTag(routes: readonly TagRoute[]): MessageHandler {
  const byTag = new Map<string, MessageHandler>()
  let other: MessageHandler | undefined
  for (const { tags, handler } of routes) {
    if (tags === undefined) other = handler
    else for (const tag of tags) byTag.set(tag, handler)
  }
  return (message, delivery) => {
    const handler = byTag.get(message.tag) ?? other
    if (handler !== undefined) return handler(message, delivery)
    // A retry of what an earlier version subscribed to: another process may know it, else it ends as a dead letter.
    throw new TandemError('SUBSCRIPTION_NOT_EXIST', `tag ${message.tag} of topic ${message.topic} has no handler here`)
  }
}
