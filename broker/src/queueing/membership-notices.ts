import { RequestCode } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import type { ConsumerMember } from './consumer-group.ts'

/** Tells the members of a group that it changed: they share out queues anew (NOTIFY_CONSUMER_IDS_CHANGED 40). */
export class MembershipNotices {
  readonly #clock: Clock
  readonly #members: (group: string) => readonly ConsumerMember[]
  readonly #isWanted: (group: string) => boolean
  readonly #changed = new Set<string>()

  constructor(options: {
    clock: Clock
    members: (group: string) => readonly ConsumerMember[]
    isWanted: (group: string) => boolean
  }) {
    this.#clock = options.clock
    this.#members = options.members
    this.#isWanted = options.isWanted
  }

  /** One notification per group and turn, however many members came or went in it. */
  changed(group: string): void {
    if (this.#changed.size === 0) this.#clock.soon(() => this.#send())
    this.#changed.add(group)
  }

  #send(): void {
    const groups = [...this.#changed]
    this.#changed.clear()
    for (const group of groups) {
      const members = this.#members(group)
      if (!this.#isWanted(group)) continue
      if (members.some(({ messageModel }) => messageModel === 'BROADCASTING')) continue
      for (const { connection } of members) {
        if (!connection.isOpen) continue
        connection.oneway({ code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, extFields: { consumerGroup: group } })
      }
    }
  }
}
