import type { CommandInit, RemotingCommand } from '@tandemmq/protocol'
import { parseLenientJson, RequestCode } from '@tandemmq/protocol'
import { ClientError, messageOf } from '../../client-error.ts'
import type { ClientCore } from '../../cluster/client-core.ts'
import type { MessageQueue, TopicRoute } from '../../cluster/route.ts'
import { compareText, queueKey } from '../../cluster/route.ts'
import { asArray, asObject, asText } from '../../json.ts'
import { Rounds } from '../../rounds.ts'
import type { StartOffsets } from '../start-offsets.ts'
import type { Allocate } from './allocate.ts'
import { sortQueues } from './rebalance.ts'

export interface AssignmentPort {
  readonly core: ClientCore
  readonly group: string
  readonly isBroadcasting: boolean
  readonly starts: StartOffsets
  readonly allocate: Allocate
  readonly intervalMs: number
  topics(): readonly string[]
  /** Makes `mine` the consumed queues of the topic; see `QueueSet.assign`. @returns false when some could not be taken yet */
  assign(
    topic: string,
    mine: readonly MessageQueue[],
    all: readonly MessageQueue[],
    isHandedOver: boolean,
  ): Promise<boolean>
  /** Members want different messages of these topics, says the broker at `address`; undefined = they agree. */
  conflict(topics: string | undefined, address: string): void
}

/**
 * After a broker was reached again its other clients are still coming back: who is missing in its list then counts as there for so
 * long, because taking somebody's queues from the last commit means handling again what was handled since.
 */
const SETTLE_MS = 6_000

/** Decides again and again which queues are ours: every 20 s, when the broker says the group changed, and on failure. */
export class Assignment {
  readonly #port: AssignmentPort
  readonly #rounds: Rounds
  /** Client ids the group had in the last list that was believed, by topic: brokers differ in who is connected to them. */
  readonly #believed = new Map<string, readonly string[]>()

  constructor(port: AssignmentPort) {
    this.#port = port
    this.#rounds = new Rounds({
      clock: port.core.clock,
      logger: port.core.logger,
      name: `rebalance of ${port.group}`,
      intervalMs: port.intervalMs,
      once: () => this.#once(),
    })
  }

  /** Runs now; a run under way is followed by another one. Resolves when the picture is as new as this call. */
  run(): Promise<void> {
    return this.#rounds.run()
  }

  /** Waits for a run under way; starts none any more. */
  stop(): Promise<void> {
    return this.#rounds.stop()
  }

  async #once(): Promise<boolean> {
    let isComplete = true
    for (const topic of this.#port.topics()) {
      if (this.#rounds.isStopped) return true
      const isDone = await this.#assignTopic(topic).catch((error: unknown) => {
        this.#port.core.logger.warn(`queues of ${topic} not shared: ${messageOf(error)}`)
        return false
      })
      if (!isDone) isComplete = false
    }
    return isComplete
  }

  async #assignTopic(topic: string): Promise<boolean> {
    const { core, group, isBroadcasting, starts, allocate } = this.#port
    let route: TopicRoute
    try {
      const known = core.routes.find(topic)
      route = known === undefined || known.isTemplate ? await core.routes.load(topic) : known
    } catch (error) {
      const isMissing = error instanceof ClientError && error.code === 'ROUTE_NOT_FOUND'
      if (isMissing) starts.topicIsYounger(topic)
      core.logger.debug(`no route of ${topic} yet: ${messageOf(error)}`)
      return false
    }
    const queues = sortQueues(route.readQueues)
    if (isBroadcasting) return this.#port.assign(topic, queues, queues, false)
    const { ids: listed, isHandedOver } = await this.#members(route)
    const me = core.settings.clientId
    if (!listed.includes(me)) {
      // Keep what we have: either the broker restarted, or the heartbeat has not arrived.
      await core.heartbeat()
      core.logger.debug(`the broker does not list ${me} in group ${group} yet`)
      return false
    }
    const members = this.#withReturning(topic, listed)
    const mine = new Set(allocate(queues, members, me).map(queueKey))
    const isComplete = await this.#port.assign(
      topic,
      queues.filter((queue) => mine.has(queueKey(queue))),
      queues,
      isHandedOver,
    )
    return isComplete && members === listed
  }

  /** The members listed, and for a while after a reconnect those of before. */
  #withReturning(topic: string, listed: readonly string[]): readonly string[] {
    const { clock, reconnectedAt } = this.#port.core
    const missing = this.#believed.get(topic)?.filter((clientId) => !listed.includes(clientId)) ?? []
    if (missing.length > 0 && clock.monotonic() - reconnectedAt < SETTLE_MS) {
      return [...listed, ...missing].toSorted(compareText)
    }
    this.#believed.set(topic, listed)
    return listed
  }

  async #members(route: TopicRoute): Promise<{ ids: string[]; isHandedOver: boolean }> {
    const { group } = this.#port
    const addresses = [...route.brokers.values()].flatMap((broker) => broker.address ?? [])
    if (addresses.length === 0) return { ids: [], isHandedOver: false }
    const init = { code: RequestCode.GET_CONSUMER_LIST_BY_GROUP, extFields: { consumerGroup: group } }
    const { answer, address } = await this.#askAny(addresses, init)
    // An unknown group and an empty one are both answered with an error.
    if (answer.code !== 0) return { ids: [], isHandedOver: false }
    this.#port.conflict(answer.extFields['subscriptionConflict'], address)
    const ids = asArray(asObject(parseLenientJson(answer.body.toString('utf8')))['consumerIdList']).map(asText)
    return { ids: ids.toSorted(compareText), isHandedOver: answer.extFields['queueHandover'] === 'true' }
  }

  /** Begins at a random one, as Java does; a broker that is away must not keep the queues of the others from being shared. */
  async #askAny(
    addresses: readonly string[],
    init: CommandInit,
  ): Promise<{ answer: RemotingCommand; address: string }> {
    const { core } = this.#port
    const first = Math.floor(core.clock.random() * addresses.length)
    for (let step = 1; step < addresses.length; step++) {
      const address = addresses[(first + step) % addresses.length] ?? ''
      try {
        return { answer: await core.request(address, init), address }
      } catch (error) {
        core.logger.debug(`members of ${this.#port.group}: ${messageOf(error)}`)
      }
    }
    const address = addresses[first] ?? ''
    return { answer: await core.request(address, init), address }
  }
}
