import { BrokerError } from '../../broker-error.ts'
import { type Journal, storeNow } from '../state-table.ts'

const TABLE = 'requestModes'
/** Names come from strangers. */
const ENTRIES_MAX = 100_000

/** How members of a group get the messages of a topic (remoting.md 2B, 401). */
export interface RequestMode {
  mode: 'PULL' | 'POP'
  /** With POP: how many other members' queues each member shares; <= 0 = all queues with all members. */
  popShareQueueNum: number
}

type Entry = { group: string; topic: string } & RequestMode

/** What an operator set by `mqadmin setConsumeMode`; PULL for everything else. Kept in the journal table `requestModes`. */
export class RequestModes {
  readonly #journal: Journal
  readonly #byPair = new Map<string, Entry>()

  constructor(options: { journal: Journal }) {
    this.#journal = options.journal
    this.#journal.register(TABLE, {
      apply: (entry) => this.#put(entry as Entry),
      snapshot: () => this.#byPair.values(),
    })
  }

  of(group: string, topic: string): RequestMode {
    return this.#byPair.get(pairOf(group, topic)) ?? { mode: 'PULL', popShareQueueNum: 0 }
  }

  /**
   * Durable when resolved.
   * @throws {BrokerError} NO_PERMISSION for a retry topic, which is always pulled; SYSTEM_BUSY when there are too many
   */
  async set(group: string, topic: string, { mode, popShareQueueNum }: RequestMode): Promise<void> {
    if (topic.startsWith('%RETRY%')) throw new BrokerError('NO_PERMISSION', 'retry topic is not allowed to set mode')
    if (!this.#byPair.has(pairOf(group, topic)) && this.#byPair.size >= ENTRIES_MAX) {
      throw new BrokerError('SYSTEM_BUSY', `${ENTRIES_MAX} modes are set already`)
    }
    const entry: Entry = { group, topic, mode, popShareQueueNum }
    this.#put(entry)
    await storeNow(this.#journal, TABLE, entry)
  }

  all(): Iterable<Readonly<Entry>> {
    return this.#byPair.values()
  }

  #put(entry: Entry): void {
    this.#byPair.set(pairOf(entry.group, entry.topic), entry)
  }
}

const pairOf = (group: string, topic: string): string => `${group}@${topic}`
