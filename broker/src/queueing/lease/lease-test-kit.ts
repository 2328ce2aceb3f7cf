import { decodeRecords, type RemotingCommand, RequestCode, type StoredMessage } from '@tandemmq/protocol'
import { VirtualClock } from '@tandemmq/remoting/simulation'
import { BrokerRooms, type RoomsClient, type RoomsOptions } from '../../../../test/kit/broker-rooms.ts'
import { FaultDisk } from '../../store/fault-disk.ts'

type Fields = Record<string, string | number | boolean>

export const RETRY = '%RETRY%billing_orders'

/** A broker with a topic `orders` of two queues, and what a POP client sends. */
export class Pops {
  readonly rooms: BrokerRooms
  readonly client: RoomsClient

  private constructor(rooms: BrokerRooms) {
    this.rooms = rooms
    this.client = rooms.client()
  }

  static async start(options: RoomsOptions = {}, queues = 1): Promise<Pops> {
    const rooms = await BrokerRooms.start(options)
    if (rooms.topics.find('orders') === undefined) {
      rooms.topics.create({ name: 'orders', readQueues: queues, writeQueues: queues })
    }
    return new Pops(rooms)
  }

  /** Messages with these bodies, visible. */
  async send(bodies: string[], queueId = 0, message: { tag?: string } = {}): Promise<void> {
    for (const body of bodies) this.rooms.append('orders', queueId, { body, uniqueKey: `id-${body}`, ...message })
    await this.rooms.settle()
  }

  /** The process is killed, or the power goes; another one starts `afterMs` later with what is on the disk. */
  async restarted(how: 'killed' | 'powerCut', afterMs = 0, options: RoomsOptions = {}): Promise<Pops> {
    const disk = this.rooms.disk as FaultDisk
    const clock = new VirtualClock({ seed: 3, startAt: this.rooms.clock.now() + afterMs })
    return Pops.start({ disk: disk[how]({ soon: (work) => clock.soon(work) }), clock, ...options })
  }

  askPop(over: Fields = {}): Promise<RemotingCommand> {
    return this.client.ask(RequestCode.POP_MESSAGE, this.#popFields(over))
  }

  async pop(over: Fields = {}): Promise<Popped> {
    return new Popped(await this.client.request(RequestCode.POP_MESSAGE, this.#popFields(over)))
  }

  ack(receipt: string, over: Fields = {}): Promise<RemotingCommand> {
    return this.client.request(RequestCode.ACK_MESSAGE, this.#receiptFields(receipt, over))
  }

  hide(receipt: string, invisibleTime: number, over: Fields = {}): Promise<RemotingCommand> {
    const fields = { ...this.#receiptFields(receipt, over), invisibleTime }
    return this.client.request(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, fields)
  }

  committed(topic = 'orders', queueId = 0): number {
    return this.rooms.offsets.committed('billing', topic, queueId)
  }

  /** What queue 0 of a topic holds. */
  messagesOf(topic: string): StoredMessage[] {
    const queue = this.rooms.topics.find(topic)?.queues[0]
    const messages: StoredMessage[] = []
    for (let at = queue?.minOffset ?? 0; at < (queue?.maxOffset ?? 0); at++) {
      messages.push(decodeRecords(this.rooms.store.read(queue!.physicalOffset(at))!)[0]!)
    }
    return messages
  }

  bodiesOf(topic: string): string[] {
    return this.messagesOf(topic).map(({ body }) => body.toString())
  }

  #popFields(over: Fields): Fields {
    const now = this.rooms.clock.now()
    return {
      ...{ consumerGroup: 'billing', topic: 'orders', queueId: -1, maxMsgNums: 32, invisibleTime: 10_000, pollTime: 0 },
      ...{ bornTime: now, initMode: 0, expType: 'TAG', exp: '*', order: false },
      ...over,
    }
  }

  #receiptFields(receipt: string, over: Fields): Fields {
    const [, , , , retry, , queueId, offset] = receipt.split(' ')
    const topic = retry === '1' ? RETRY : 'orders'
    return { consumerGroup: 'billing', topic, queueId: queueId!, offset: offset!, extraInfo: receipt, ...over }
  }
}

/** An answer to a pop as Apache's client reads it. */
export class Popped {
  readonly code: number
  readonly fields: Record<string, string>
  readonly messages: StoredMessage[]

  readonly #topic: string

  constructor({ code, extFields, body }: RemotingCommand, topic = 'orders') {
    this.#topic = topic
    this.code = code
    this.fields = extFields
    this.messages = body.length === 0 ? [] : decodeRecords(body)
  }

  get bodies(): string[] {
    return this.messages.map(({ body }) => body.toString())
  }

  /** POP_CK of each message, made like processPopResponse of MQClientAPIImpl.java does. */
  get receipts(): string[] {
    const { popTime, invisibleTime, reviveQid } = this.fields
    const starts = new Map(this.#entries('startOffsetInfo'))
    return this.messages.map(({ topic, queueId, queueOffset, properties }) => {
      if (properties['POP_CK'] !== undefined) return properties['POP_CK']
      if (topic !== this.#topic) throw new Error(`a message of ${topic}`)
      return `${starts.get(`0 ${queueId}`)} ${popTime} ${invisibleTime} ${reviveQid} 0 tandemmq ${queueId} ${queueOffset}`
    })
  }

  #entries(name: string): [string, string][] {
    const entries = this.fields[name] === '' ? [] : this.fields[name]!.split(';')
    return entries.map((entry) => {
      const [retry, queueId, value] = entry.split(' ')
      return [`${retry} ${queueId}`, value!]
    })
  }
}
