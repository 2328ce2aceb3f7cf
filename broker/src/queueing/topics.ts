import { groupNameProblem, SystemTopic, topicNameProblem } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import type { ConsumeQueue } from '../store/index.ts'
import { ByteTable } from './byte-table.ts'
import { type Journal, storeSoon } from './state-table.ts'
import { checkNumbers, defaultConfig, pickConfig, readableQueues } from './topic-config.ts'
import { isBrokerOwned, Perm, Topic, type TopicConfig } from './topic.ts'

const TABLE = 'topics'
/** About 100 MB of tables. */
const TOPICS_MAX = 20_000
const RETRY_PREFIX = '%RETRY%'
const DEAD_LETTER_PREFIX = '%DLQ%'

/** What topics need of the store. */
export interface QueueSource {
  queue(topic: string, queueId: number): ConsumeQueue
  /** Those it has of a topic, whatever the topic's settings say. */
  queuesOf(topic: string): readonly ConsumeQueue[]
  deleteTopic(topic: string): void
}

export type TopicChange = 'created' | 'changed' | 'deleted'

type Entry = { put: TopicConfig } | { delete: string }

/**
 * Every topic of this broker. What users and clients created lives in the journal table `topics`; what the broker needs
 * for itself is made again at every start.
 */
export class Topics {
  readonly #journal: Journal
  #autoCreate: boolean
  #defaultQueues: number
  readonly #topicsMax: number
  readonly #byName = new Map<string, Topic>()
  readonly #byBytes = new ByteTable<Topic>()
  readonly #persistent = new Set<string>()
  #store: QueueSource | undefined
  #stored: Promise<void> = Promise.resolve()
  /** Called after each change; the name server part and other rooms listen. */
  readonly listeners: ((topic: Topic, change: TopicChange) => void)[] = []
  /** Set by the groups: a send to `%RETRY%g` creates that topic only when g is known. */
  knowsGroup: (group: string) => boolean = () => false

  /**
   * Reads the journal's table; {@link open} joins it with the store's queues.
   * @param options.autoCreate a send to an unknown topic creates it from its template (`TBW102`)
   * @param options.defaultQueues queues of an auto-created topic at most, default 4
   * @param options.topicsMax topics above which none is created, whoever asks, default 20,000: names come from strangers. Dead
   *   letter topics are exempt, there are at most as many as groups, and a message would be lost without its own
   */
  constructor(options: { journal: Journal; autoCreate: boolean; defaultQueues?: number; topicsMax?: number }) {
    this.#journal = options.journal
    this.#autoCreate = options.autoCreate
    this.#defaultQueues = options.defaultQueues ?? 4
    this.#topicsMax = options.topicsMax ?? TOPICS_MAX
    this.#journal.register(TABLE, {
      apply: (entry) => this.#apply(entry as Entry),
      snapshot: () => this.#snapshot(),
    })
  }

  /** Joins the topics the journal named with their queues, and creates the auto-create template. */
  open(store: QueueSource): void {
    this.#store = store
    for (const topic of this.#byName.values()) this.#put(topic)
    if (this.#autoCreate) {
      const perm = Perm.INHERIT | Perm.READ | Perm.WRITE
      this.ensureInternal(SystemTopic.DEFAULT, this.#defaultQueues, perm)
    }
  }

  /** Changes what a send to an unknown topic does; see the constructor. */
  configure(rules: { autoCreate: boolean; defaultQueues: number }): void {
    this.#autoCreate = rules.autoCreate
    this.#defaultQueues = rules.defaultQueues
    const template = this.#byName.get(SystemTopic.DEFAULT)
    if (rules.autoCreate) {
      const perm = Perm.INHERIT | Perm.READ | Perm.WRITE
      this.ensureInternal(SystemTopic.DEFAULT, rules.defaultQueues, perm)
      if (template !== undefined && !this.#persistent.has(template.name)) {
        this.#put({ ...template, readQueues: rules.defaultQueues, writeQueues: rules.defaultQueues })
        this.#announce(template, 'changed')
      }
    } else if (template !== undefined && !this.#persistent.has(template.name)) {
      // Without its route producers do not even try.
      this.#remove(template)
      this.#announce(template, 'deleted')
    }
  }

  find(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  /** As {@link find} for UTF-8 bytes; allocates nothing. */
  intern(bytes: Buffer, start: number, end: number): Topic | undefined {
    return this.#byBytes.find(bytes, start, end)
  }

  /**
   * A topic that does not exist yet but will at the first heartbeat of its group: consumers ask for the route of `%RETRY%group` before
   * that, and look again only after 30 s when there is none (remoting.md 13.2).
   */
  promised(name: string): TopicConfig | undefined {
    if (!name.startsWith(RETRY_PREFIX)) return undefined
    return groupNameProblem(name.slice(RETRY_PREFIX.length)) === undefined ? defaultConfig(name, 1) : undefined
  }

  list(): Topic[] {
    return [...this.#byName.values()]
  }

  /** @throws {BrokerError} TOPIC_NOT_EXIST */
  require(name: string): Topic {
    const topic = this.#byName.get(name)
    if (topic === undefined) throw new BrokerError('TOPIC_NOT_EXIST', `topic ${name} does not exist`)
    return topic
  }

  /** @throws {BrokerError} TOPIC_NOT_EXIST, INVALID_PARAMETER naming how many queues there are */
  requireQueue(name: string, queueId: number): ConsumeQueue {
    const topic = this.require(name)
    const queue = topic.queues[queueId]
    if (queue === undefined) {
      throw new BrokerError('INVALID_PARAMETER', `topic ${name} has ${topic.queues.length} queues, none is ${queueId}`)
    }
    return queue
  }

  /**
   * The topic a message goes to; an unknown one is created from `defaultTopic` (broker.md 7.6).
   * @param queues how many the producer asks for; below 1 means it does not care
   * @throws {BrokerError} TOPIC_NAME_INVALID; TOPIC_NOT_EXIST when it may not be created
   */
  forSend(name: string, defaultTopic: string, queues: number): Topic {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const problem = topicNameProblem(name)
    if (problem !== undefined) throw new BrokerError('TOPIC_NAME_INVALID', problem)
    if (name.startsWith(RETRY_PREFIX) && this.knowsGroup(name.slice(RETRY_PREFIX.length))) return this.ensure(name, 1)
    const template = this.#autoCreate ? this.#byName.get(defaultTopic) : undefined
    if (template === undefined || (template.perm & Perm.INHERIT) === 0 || name.startsWith('%')) {
      throw new BrokerError('TOPIC_NOT_EXIST', `topic ${name} does not exist and is not created by a send`)
    }
    const wanted = queues > 0 ? Math.min(queues, template.writeQueues) : template.writeQueues
    return this.create({ name, readQueues: wanted, writeQueues: wanted, perm: template.perm & ~Perm.INHERIT })
  }

  /**
   * Creates the topic or changes it; what is not given keeps its value. Its entry is written ahead of the next batch of
   * messages and made durable without being waited for. Queues that hold messages stay readable, so it may have more
   * `readQueues` than asked for.
   * @throws {BrokerError} TOPIC_NAME_INVALID, INVALID_PARAMETER; NO_PERMISSION for a name of the broker's own; TOPIC_NOT_EXIST when
   *   there are too many
   */
  create(config: Partial<TopicConfig> & { name: string }): Topic {
    const problem = topicNameProblem(config.name)
    if (problem !== undefined) throw new BrokerError('TOPIC_NAME_INVALID', problem)
    return this.#create(config)
  }

  /**
   * A message comes to a queue that nobody reads: one that is only written to, or that was empty and taken away before a transaction or
   * a delay ended. From now on it is read. Not journaled: the next start finds the message.
   */
  reopen(topic: Topic, queueId: number): ConsumeQueue | undefined {
    this.#put({ ...pickConfig(topic), readQueues: queueId + 1 })
    this.#announce(topic, 'changed')
    return topic.queues[queueId]
  }

  #create(config: Partial<TopicConfig> & { name: string }): Topic {
    const before = this.#byName.get(config.name)
    if (before === undefined) this.#checkNew(config.name)
    const known = before === undefined ? {} : pickConfig(before)
    const next = { ...defaultConfig(config.name, this.#defaultQueues), ...known, ...config }
    checkNumbers(next)
    const topic = this.#put(next)
    this.#persistent.add(topic.name)
    this.#stored = storeSoon(this.#journal, TABLE, { put: pickConfig(topic) } satisfies Entry)
    this.#announce(topic, before === undefined ? 'created' : 'changed')
    return topic
  }

  /** Resolves when everything created and deleted so far is durable. @throws {StoreError} STORE_FENCED */
  stored(): Promise<void> {
    this.#journal.commit()
    return this.#stored
  }

  /** A topic users' messages need but nobody creates by hand (`%RETRY%g`, `%DLQ%g`); kept in the journal. */
  ensure(name: string, queues: number): Topic {
    return this.#byName.get(name) ?? this.create({ name, readQueues: queues, writeQueues: queues })
  }

  /**
   * A topic of the broker itself. Not journaled, except retry and dead letter topics: their messages outlive the
   * reason they were created for.
   */
  ensureInternal(name: string, queues: number, perm: number = Perm.READ | Perm.WRITE): Topic {
    if (name.startsWith(RETRY_PREFIX) || name.startsWith(DEAD_LETTER_PREFIX)) return this.ensure(name, queues)
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const topic = this.#put({ ...defaultConfig(name, queues), perm })
    this.#announce(topic, 'created')
    return topic
  }

  /**
   * Where messages go whose lease ran out (broker.md 5.4). Its name, made of a group's and a topic's, may be longer than other
   * topics' and hold a `+`.
   * @param queues it has at least: one for each priority
   * @throws {BrokerError} TOPIC_NOT_EXIST when there are too many
   */
  ensurePopRetry(name: string, queues: number): Topic {
    const known = this.#byName.get(name)
    if (known !== undefined && known.readQueues >= queues) return known
    return this.#create({ name, readQueues: queues, writeQueues: queues })
  }

  /**
   * Removes the topic with its queues; its records stay in the log until retention.
   * @throws {BrokerError} TOPIC_NOT_EXIST; ILLEGAL_OPERATION for a topic of the broker itself
   */
  async delete(name: string): Promise<void> {
    const topic = this.require(name)
    if (!this.#persistent.has(name)) throw new BrokerError('ILLEGAL_OPERATION', `${name} is the broker's own topic`)
    this.#remove(topic)
    try {
      this.#store?.deleteTopic(name)
      this.#announce(topic, 'deleted')
    } finally {
      // A fenced store throws: whoever asks again must hear of it too.
      this.#stored = storeSoon(this.#journal, TABLE, { delete: name } satisfies Entry)
    }
    await this.stored()
  }

  #checkNew(name: string): void {
    if (isBrokerOwned(name)) throw new BrokerError('NO_PERMISSION', `the topic ${name} is the broker's own`)
    if (this.#byName.size < this.#topicsMax || name.startsWith(DEAD_LETTER_PREFIX)) return
    const detail = `topic ${name} does not exist and is not created: there are ${this.#topicsMax} topics, as many as are allowed`
    throw new BrokerError('TOPIC_NOT_EXIST', detail)
  }

  #put(config: TopicConfig): Topic {
    let topic = this.#byName.get(config.name)
    if (topic === undefined) {
      topic = new Topic(config)
      this.#byName.set(topic.name, topic)
      this.#byBytes.set(topic.nameBytes, topic)
    } else topic.configure(config)
    this.#fillQueues(topic)
    return topic
  }

  #fillQueues(topic: Topic): void {
    const store = this.#store
    if (store === undefined) return
    topic.readQueues = readableQueues(topic, store.queuesOf(topic.name))
    topic.queues = Array.from(
      { length: Math.max(topic.readQueues, topic.writeQueues) },
      (_, queueId) => topic.queues[queueId] ?? store.queue(topic.name, queueId),
    )
  }

  #remove(topic: Topic): void {
    this.#byName.delete(topic.name)
    this.#byBytes.delete(topic.nameBytes)
    this.#persistent.delete(topic.name)
  }

  #announce(topic: Topic, change: TopicChange): void {
    for (const listener of this.listeners) listener(topic, change)
  }

  #apply(entry: Entry): void {
    if ('put' in entry) {
      this.#put(entry.put)
      this.#persistent.add(entry.put.name)
      return
    }
    const topic = this.#byName.get(entry.delete)
    if (topic !== undefined) this.#remove(topic)
  }

  *#snapshot(): Iterable<Entry> {
    for (const name of this.#persistent) {
      const topic = this.#byName.get(name)
      if (topic !== undefined) yield { put: pickConfig(topic) }
    }
  }
}
