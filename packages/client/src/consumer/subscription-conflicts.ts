import type { CommandInit, RemotingCommand } from '@tandemmq/protocol'
import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { ClientError, messageOf } from '../client-error.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asObject, asText } from '../json.ts'
import type { Logger } from '../logger.ts'

/** Members of a group that want different messages of a topic. */
export interface SubscriptionConflict {
  readonly topic: string
  /** What each member wants, e.g. `TAG created || paid`; empty = it has not subscribed. */
  readonly members: readonly { readonly clientId: string; readonly expression: string }[]
}

/** As a TandemMQ broker tells them with the connections of a group (203); none from an Apache broker. */
export function conflictsOfBody(body: JsonObject): SubscriptionConflict[] {
  return asArray(body['subscriptionConflicts'] ?? []).map((entry) => {
    const { topic, members } = asObject(entry)
    return {
      topic: asText(topic),
      members: asArray(members).map((member) => {
        const { clientId, expression } = asObject(member)
        return { clientId: asText(clientId), expression: asText(expression) }
      }),
    }
  })
}

/** Names who differs, and in what. */
export function conflictError(group: string, conflicts: readonly SubscriptionConflict[]): ClientError {
  const told = conflicts.map(({ topic, members }) => {
    const byExpression = new Map<string, string[]>()
    for (const { clientId, expression } of members) {
      byExpression.set(expression, [...(byExpression.get(expression) ?? []), clientId])
    }
    const sides = [...byExpression].map(
      ([expression, ids]) => `${ids.join(', ')} ${expression === '' ? 'not subscribed' : `"${expression}"`}`,
    )
    return `${topic}: ${sides.join('; ')}`
  })
  const detail = `members of group ${group} want different messages, so some reach nobody: ${told.join(' | ')}`
  return new ClientError('SUBSCRIPTION_CONFLICT', detail)
}

type Ask = (init: CommandInit) => Promise<RemotingCommand>

/** Notices that members of our group disagree, asks who, and says so once per change. */
export class ConflictWatch {
  readonly #group: string
  readonly #logger: Logger
  #topics: string | undefined
  #asked: Promise<ClientError | undefined> = Promise.resolve(undefined)

  constructor(group: string, logger: Logger) {
    this.#group = group
    this.#logger = logger
  }

  /** @param topics as the broker told them with an answer; undefined = all agree */
  saw(topics: string | undefined, ask: Ask): void {
    if (topics === this.#topics) return
    this.#topics = topics
    if (topics === undefined) {
      this.#asked = Promise.resolve(undefined)
      this.#logger.info(`all members of group ${this.#group} want the same messages again`)
      return
    }
    this.#asked = this.#ask(topics, ask)
  }

  /** The conflict as it was seen last; undefined when there is none. */
  current(): Promise<ClientError | undefined> {
    return this.#asked
  }

  async #ask(topics: string, ask: Ask): Promise<ClientError> {
    let conflicts: SubscriptionConflict[] = []
    try {
      const extFields = { consumerGroup: this.#group }
      const answer = await ask({ code: RequestCode.GET_CONSUMER_CONNECTION_LIST, extFields })
      if (answer.code === ResponseCode.SUCCESS) {
        conflicts = conflictsOfBody(asObject(parseLenientJson(answer.body.toString('utf8'))))
      }
    } catch (error) {
      this.#logger.debug(`connections of ${this.#group}: ${messageOf(error)}`)
    }
    if (conflicts.length === 0) conflicts = topics.split(',').map((topic) => ({ topic, members: [] }))
    const error = conflictError(this.#group, conflicts)
    this.#logger.error(error.message, error)
    return error
  }
}
