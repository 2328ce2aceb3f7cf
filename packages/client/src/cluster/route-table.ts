import type { CommandInit, RemotingCommand } from '@tandemmq/protocol'
import { parseLenientJson, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { ClientError, errorOfAnswer, messageOf } from '../client-error.ts'
import { asObject } from '../json.ts'
import type { Logger } from '../logger.ts'
import type { BrokerData, TopicRoute } from './route.ts'
import { parseBrokers, parseRoute } from './route.ts'

/** Template topic that brokers with auto-create on answer for (remoting.md 4.1). */
export const TEMPLATE_TOPIC = 'TBW102'
/** Queues of an auto-created topic, as Java's defaultTopicQueueNums. */
export const TEMPLATE_QUEUES = 4

export interface NameServerPort {
  askNameServer(init: CommandInit, isFinal?: (answer: RemotingCommand) => boolean): Promise<RemotingCommand>
}

/** Routes in use, one question per topic at a time, and the brokers they name. */
export class RouteTable {
  /** Called after any route or broker changed. */
  onChange: (() => void) | undefined
  readonly #port: NameServerPort
  readonly #logger: Logger
  readonly #routes = new Map<string, TopicRoute>()
  readonly #wanted = new Set<string>()
  readonly #loading = new Map<string, Promise<TopicRoute>>()
  /** The last cluster list; empty when it was never asked for. */
  #discovered: ReadonlyMap<string, BrokerData> = new Map()
  /** Every broker ever named, as it was named last. */
  readonly #brokers = new Map<string, BrokerData>()
  #fingerprint = ''

  constructor(port: NameServerPort, logger: Logger) {
    this.#port = port
    this.#logger = logger
  }

  find(topic: string): TopicRoute | undefined {
    return this.#routes.get(topic)
  }

  /** Drops a route that proved wrong; the next use asks again. */
  forget(topic: string): void {
    this.#routes.delete(topic)
  }

  /** Brokers that a route or the cluster list names now. */
  brokers(): readonly BrokerData[] {
    const names = new Set(this.#discovered.keys())
    for (const route of this.#routes.values()) for (const name of route.brokers.keys()) names.add(name)
    return this.everyBroker().filter(({ name }) => names.has(name))
  }

  /** Brokers that were named at any time, gone ones included. */
  everyBroker(): readonly BrokerData[] {
    return [...this.#brokers.values()]
  }

  /** Where the broker is, or was when it was named last. */
  addressOf(brokerName: string): string | undefined {
    return this.#brokers.get(brokerName)?.address
  }

  isBroker(address: string): boolean {
    for (const broker of this.#brokers.values()) if (broker.address === address) return true
    return false
  }

  /** @throws {ClientError} ROUTE_NOT_FOUND when the topic does not exist */
  load(topic: string): Promise<TopicRoute> {
    const running = this.#loading.get(topic)
    if (running !== undefined) return running
    const loading = this.#ask(topic).finally(() => this.#loading.delete(topic))
    this.#loading.set(topic, loading)
    return loading
  }

  /** As load; a topic that does not exist yet gets the route of the auto-create template. */
  async loadForSend(topic: string): Promise<TopicRoute> {
    try {
      return await this.load(topic)
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== 'ROUTE_NOT_FOUND') throw error
      const template = await this.load(TEMPLATE_TOPIC).catch(() => undefined)
      if (template === undefined || template.writeQueues.length === 0) throw error
      const route = template.asTemplateFor(topic, TEMPLATE_QUEUES)
      this.#routes.set(topic, route)
      this.#wanted.add(topic)
      return route
    }
  }

  /**
   * Finds brokers without knowing a topic, so that a producer can be asked back before it ever sent.
   * @returns those of the cluster now
   */
  async discover(): Promise<readonly BrokerData[]> {
    const answer = await this.#port.askNameServer({ code: RequestCode.GET_BROKER_CLUSTER_INFO })
    if (answer.code !== ResponseCode.SUCCESS) {
      await this.load(TEMPLATE_TOPIC)
      return this.brokers()
    }
    const table = asObject(asObject(parseLenientJson(answer.body.toString('utf8')))['brokerAddrTable'])
    const brokers = parseBrokers(Object.values(table))
    // Nobody at all is a name server that has just started, or the only broker restarting.
    if (brokers.size > 0) this.#discovered = brokers
    this.#learn(brokers)
    return brokers.size > 0 ? [...brokers.values()] : this.brokers()
  }

  /** Asks again for every topic in use, and for the cluster. A topic that is gone or a silent name server keeps the old route. */
  async refresh(): Promise<void> {
    if (this.#discovered.size > 0) {
      try {
        await this.discover()
      } catch (error) {
        this.#logger.debug(`the cluster was not asked again: ${messageOf(error)}`)
      }
    }
    await Promise.all(
      [...this.#wanted].map((topic) =>
        this.load(topic).catch((error: unknown) =>
          this.#logger.debug(`route of ${topic} not refreshed: ${messageOf(error)}`),
        ),
      ),
    )
  }

  async #ask(topic: string): Promise<TopicRoute> {
    const answer = await this.#port.askNameServer(
      { code: RequestCode.GET_ROUTEINFO_BY_TOPIC, extFields: { topic, acceptStandardJsonOnly: true } },
      // Name servers do not tell one another: one that has just started knows less than the others.
      ({ code }) => code !== ResponseCode.TOPIC_NOT_EXIST,
    )
    if (answer.code === ResponseCode.TOPIC_NOT_EXIST) {
      throw new ClientError('ROUTE_NOT_FOUND', `no route of topic ${topic}: ${answer.remark ?? 'it does not exist'}`)
    }
    if (answer.code !== ResponseCode.SUCCESS) throw errorOfAnswer(answer.code, answer.remark, `route of ${topic}`)
    const route = parseRoute(topic, answer.body)
    this.#routes.set(topic, route)
    this.#wanted.add(topic)
    this.#learn(route.brokers)
    return route
  }

  #learn(brokers: ReadonlyMap<string, BrokerData>): void {
    for (const broker of brokers.values()) this.#brokers.set(broker.name, broker)
    const fingerprint = this.#describe()
    if (fingerprint === this.#fingerprint) return
    this.#fingerprint = fingerprint
    this.onChange?.()
  }

  #describe(): string {
    const queues = [...this.#routes.values()].map((route) => route.signature)
    const brokers = this.brokers().map(({ name, address }) => `${name}=${address}`)
    return [...queues.toSorted(), ...brokers.toSorted()].join(' ')
  }
}
