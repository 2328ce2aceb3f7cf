import { createHash } from 'node:crypto'
import type { Frame } from './frames.ts'
import type { Wire } from './raw-wire.ts'

const GROUP = 'numbered-readers'

/** One queue of numbered messages, and what the broker promised about it. Frames by hand: nothing of the product judges the product. */
export class NumberedQueue {
  readonly topic: string
  /** Offset -> body, of every message whose sending was acknowledged. */
  readonly acknowledged = new Map<number, string>()
  readonly #sent = new Set<string>()

  constructor(topic: string) {
    this.topic = topic
  }

  /** @param bytes about the length of the body */
  async send(wire: Wire, bytes = 100): Promise<Frame> {
    const id = `${this.topic} ${this.#sent.size} `
    const body =
      id +
      createHash('sha256')
        .update(id)
        .digest('hex')
        .repeat(Math.ceil(bytes / 64))
    this.#sent.add(body)
    const answer = await wire.request(
      310,
      {
        ...{ a: 'numbered', b: this.topic, c: 'TBW102', d: 1, e: 0, f: 0, g: Date.now(), h: 0 },
        ...{ i: `UNIQ_KEY\u0001${id.trim()}\u0002`, j: 0, k: false, m: false },
      },
      Buffer.from(body),
    )
    if (answer.code === 0) this.acknowledged.set(Number(answer.extFields?.queueOffset), body)
    return answer
  }

  /** Sends until something other than success comes, or `count` are stored. */
  async store(wire: Wire, count: number, bytes: number): Promise<Frame | undefined> {
    for (let index = 0; index < count; index++) {
      const answer = await this.send(wire, bytes)
      if (answer.code !== 0) return answer
    }
    return undefined
  }

  /** @returns offset -> body of all the queue holds */
  async read(wire: Wire): Promise<Map<number, string>> {
    const found = new Map<number, string>()
    const first = await wire.request(31, { topic: this.topic, queueId: 0 })
    if (first.code !== 0) throw new Error(`the first offset of ${this.topic}: ${first.code} ${first.remark ?? ''}`)
    for (let offset = Number(first.extFields?.offset); ; ) {
      const answer = await wire.request(11, {
        ...{ consumerGroup: GROUP, topic: this.topic, queueId: 0, queueOffset: offset, maxMsgNums: 32, sysFlag: 4 },
        ...{ commitOffset: 0, suspendTimeoutMillis: 0, subscription: '*', subVersion: 0, expressionType: 'TAG' },
      })
      if (answer.code === 19) return found
      if (answer.code !== 0) throw new Error(`a pull from ${offset}: ${answer.code} ${answer.remark ?? ''}`)
      // Stored record, IPv4 hosts: size at 0, queue offset at 20, length of the body at 84, body at 88.
      for (let at = 0; at < answer.body.length; at += answer.body.readInt32BE(at)) {
        const body = answer.body.toString('latin1', at + 88, at + 88 + answer.body.readInt32BE(at + 84))
        found.set(Number(answer.body.readBigInt64BE(at + 20)), body)
      }
      offset = Number(answer.extFields?.nextBeginOffset)
    }
  }

  /** @returns what is lost, moved, invented or doubled; what retention may have removed does not count when `isRetained` */
  async wrong(wire: Wire, isRetained = false): Promise<string[]> {
    const found = await this.read(wire)
    const first = Math.min(...found.keys())
    const wrong: string[] = []
    for (const [offset, body] of this.acknowledged) {
      if (isRetained && offset < first) continue
      if (found.get(offset) !== body) wrong.push(`${body.slice(0, 30)} is not at ${offset}`)
    }
    const bodies = [...found.values()]
    for (const body of bodies) if (!this.#sent.has(body)) wrong.push(`nobody sent ${body.slice(0, 30)}`)
    if (new Set(bodies).size < bodies.length) wrong.push('a message is there twice')
    return wrong
  }
}
