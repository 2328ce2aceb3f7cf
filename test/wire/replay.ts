import { type Broker, startBroker } from '@tandemmq/broker'
import { MemoryDisk, MemoryNetwork, VirtualClock } from '@tandemmq/broker/simulation'
import { Producer, PushConsumer } from '@tandemmq/client'
import {
  decodeCommand,
  decodeRecords,
  encodeCommand,
  FrameSplitter,
  type RemotingCommand,
  RequestCode,
  type StoredMessage,
} from '@tandemmq/protocol'
import type { StreamSocket } from '@tandemmq/remoting'
import { type GoldenFrame, goldenFrames } from './golden.ts'
import { type Situation, situationOf } from './situations.ts'
import { isOffsetId, Translation } from './translation.ts'

// Plays the frames recorded clients sent to an Apache broker against ours, at the recorded pace on a virtual clock, and pairs
// what came back with what was recorded.

/** One recorded exchange, and what our broker answered to the same request. */
export interface Exchange {
  file: string
  request: RemotingCommand
  recorded: RemotingCommand
  /** Undefined when our broker had not answered a minute after the recording ended. */
  ours: RemotingCommand | undefined
}

export interface Played {
  exchanges: Exchange[]
  /** What the brokers asked of the clients. */
  asked: { recorded: RemotingCommand[]; ours: RemotingCommand[] }
  /** Stored records that both brokers handed out, by unique key and place. */
  records: { recorded: Buffer; ours: Buffer; from: string }[]
}

const HOST = { host: '127.0.0.2', port: 20_911 }
const BROKER = '127.0.0.2:20911'
const AFTER_MS = 60_000

/** One recorded connection, to our broker. */
class Line {
  readonly answers = new Map<number, RemotingCommand>()
  readonly requests: RemotingCommand[] = []
  onRequest: (command: RemotingCommand) => void = () => {}
  readonly #socket: StreamSocket

  constructor(socket: StreamSocket) {
    this.#socket = socket
    const splitter = new FrameSplitter({
      onFrame: (bytes, start, end) => this.#arrived(decodeCommand(Buffer.from(bytes.subarray(start - 4, end)))),
    })
    socket.handler = { onData: (bytes, start, end) => splitter.push(bytes, start, end), onDrain() {}, onClose() {} }
  }

  send(frame: Buffer): void {
    this.#socket.write(frame, 0, frame.length)
  }

  #arrived(command: RemotingCommand): void {
    if ((command.flag & 1) !== 0) return void this.answers.set(command.opaque, command)
    this.requests.push(command)
    this.onRequest(command)
  }
}

/** Who opened the connection of a frame. */
const openerOf = ({ conn }: GoldenFrame): string => conn.slice(0, conn.indexOf('-'))
const isAsked = (golden: GoldenFrame): boolean => golden.from === openerOf(golden) && golden.dir !== 'response'

export class Replay {
  readonly #frames: readonly GoldenFrame[]
  readonly #situation: Situation
  readonly #clock: VirtualClock
  readonly #network: MemoryNetwork
  readonly #lines = new Map<string, Line>()
  readonly #clients: { close(): Promise<void> }[] = []
  readonly #translation = new Translation()
  readonly #played: Played = { exchanges: [], asked: { recorded: [], ours: [] }, records: [] }
  #elapsed = 0
  #opaque = 0

  private constructor(file: string) {
    this.#frames = goldenFrames(file)
    this.#situation = situationOf(file, this.#frames)
    this.#clock = new VirtualClock({ startAt: this.#situation.startAt })
    this.#network = new MemoryNetwork({ clock: this.#clock, latencyMs: 0.01 })
  }

  static async play(file: string): Promise<Played> {
    const replay = new Replay(file)
    const broker = await replay.#start()
    for (const frame of replay.#frames) await replay.#step(frame)
    await replay.#clock.advance(AFTER_MS)
    replay.#pair()
    await replay.#clock.run(Promise.all(replay.#clients.map((client) => client.close())), 60_000)
    await replay.#clock.run(broker.close(), 120_000)
    return replay.#played
  }

  async #start(): Promise<Broker> {
    const clock = this.#clock
    const disk = new MemoryDisk({ soon: (callback) => clock.soon(callback) })
    const sizes = { hotBytesMax: 16 << 20, segmentBytes: 8 << 20 }
    // As the recorded broker was set.
    const times = { transactionTimeoutMs: 1_000, transactionCheckIntervalMs: 2_000 }
    const where = { clock, network: this.#network, disk, dataDir: '/data', ...HOST }
    const named = { advertise: BROKER, brokerName: 'broker-a' }
    const broker = await clock.run(startBroker({ ...where, ...named, ...sizes, ...times, ...this.#situation.options }))
    const operator = await this.#line('operator')
    for (const [topic, { queues, perm }] of this.#situation.topics) {
      const numbers = { readQueueNums: queues, writeQueueNums: queues, perm, topicSysFlag: 0, order: false }
      const extFields = { topic, defaultTopic: 'TBW102', topicFilterType: 'SINGLE_TAG', ...numbers }
      await this.#ask(operator, RequestCode.UPDATE_AND_CREATE_TOPIC, extFields)
    }
    for (const topic of this.#situation.filled) {
      for (let n = 0; n < 3; n++) await this.#store(topic, `UNIQ_KEY\x01${n}\x02`)
    }
    if (this.#situation.hasBackground) await this.#background()
    return broker
  }

  /** A producer, a consumer and messages. */
  async #background(): Promise<void> {
    const keys = this.#frames.map(({ frame }) => decodeCommand(frame).extFields['key'] ?? '')
    const first = keys.find((key) => isOffsetId(key)) ?? 'A'.repeat(32)
    for (const [n, key] of [first, '2', '3', '4', '5'].entries()) {
      await this.#store('background', `UNIQ_KEY\x01${key}\x02KEYS\x01order-${n + 1}\x02TAGS\x01t\x02`)
    }
    const where = { clock: this.#clock, network: this.#network, nameServers: BROKER }
    const group = 'background-consumer'
    const consumer = new PushConsumer({ ...where, group, clientId: '127.0.0.1@consumer', startFrom: 'first' })
    consumer.subscribe('background', '*', () => undefined)
    const producer = new Producer({ ...where, group: 'background-producer', clientId: '127.0.0.1@producer' })
    this.#clients.push(consumer, producer)
    await this.#clock.run(Promise.all([consumer.start(), producer.start()]), 10_000)
    await this.#clock.run(producer.send({ topic: 'background', body: 'x', tag: 't' }), 10_000)
    await this.#clock.advance(35_000)
  }

  async #store(topic: string, properties: string): Promise<void> {
    const letters = {
      a: 'p',
      b: topic,
      c: 'TBW102',
      d: '1',
      e: '0',
      f: '0',
      g: this.#clock.now(),
      h: '0',
      i: properties,
    }
    const operator = await this.#line('operator')
    const answer = await this.#ask(operator, RequestCode.SEND_MESSAGE_V2, letters, Buffer.from('x'))
    if (topic === 'background') this.#translation.learnAny(answer?.extFields['msgId'] ?? '')
  }

  async #ask(
    line: Line,
    code: number,
    extFields: Record<string, string | number | boolean>,
    body?: Buffer,
  ): Promise<RemotingCommand | undefined> {
    const opaque = this.#opaque++
    line.send(encodeCommand({ code, opaque, extFields, ...(body === undefined ? {} : { body }) }))
    await this.#clock.advance(5)
    return line.answers.get(opaque)
  }

  async #line(name: string): Promise<Line> {
    const known = this.#lines.get(name)
    if (known !== undefined) return known
    const line = new Line(await this.#clock.run(this.#network.connect({ ...HOST, timeoutMs: 1_000 })))
    line.onRequest = (command) => this.#answer(line, command)
    this.#lines.set(name, line)
    return line
  }

  async #step(golden: GoldenFrame): Promise<void> {
    if (golden.ms > this.#elapsed) await this.#clock.advance(golden.ms - this.#elapsed)
    this.#elapsed = Math.max(this.#elapsed, golden.ms)
    const line = await this.#line(golden.conn)
    if (isAsked(golden)) {
      line.send(this.#translation.request(golden.frame))
      await this.#clock.advance(2)
    } else if (golden.dir === 'response' && golden.from !== openerOf(golden)) this.#learn(golden, line)
  }

  /** A relayed question is answered as the recorded client did. */
  #answer(line: Line, command: RemotingCommand): void {
    if ((command.flag & 2) !== 0) return
    const recorded = this.#frames.find(
      (golden) => golden.dir === 'response' && golden.request === command.code && golden.from === openerOf(golden),
    )
    if (recorded !== undefined) line.send(encodeCommand({ ...decodeCommand(recorded.frame), opaque: command.opaque }))
  }

  #learn(golden: GoldenFrame, line: Line): void {
    const ours = line.answers.get(golden.opaque)
    if (ours === undefined) return
    const recorded = decodeCommand(golden.frame)
    this.#translation.learn(recorded, ours)
    for (const [theirs, own] of pairsOf(golden, recorded, ours))
      this.#translation.learnRecord(theirs.message, own.message)
  }

  #pair(): void {
    const requests = new Map<string, GoldenFrame>()
    for (const golden of this.#frames) {
      const key = `${golden.conn} ${golden.opaque}`
      if (isAsked(golden)) requests.set(key, golden)
      else if (golden.from === openerOf(golden)) continue
      else if (golden.dir !== 'response') this.#played.asked.recorded.push(decodeCommand(golden.frame))
      else this.#exchange(requests.get(key), golden)
    }
    for (const line of this.#lines.values()) this.#played.asked.ours.push(...line.requests)
  }

  #exchange(request: GoldenFrame | undefined, golden: GoldenFrame): void {
    if (request === undefined) return
    const recorded = decodeCommand(golden.frame)
    const ours = this.#lines.get(golden.conn)?.answers.get(golden.opaque)
    this.#played.exchanges.push({ file: golden.file, request: decodeCommand(request.frame), recorded, ours })
    if (ours === undefined) return
    for (const [theirs, own] of pairsOf(golden, recorded, ours)) {
      this.#played.records.push({ recorded: theirs.bytes, ours: own.bytes, from: golden.file })
    }
  }
}

/** Requests whose answers hold stored records. */
export const recordCodes: readonly number[] = [
  RequestCode.PULL_MESSAGE,
  RequestCode.LITE_PULL_MESSAGE,
  RequestCode.QUERY_MESSAGE,
  RequestCode.VIEW_MESSAGE_BY_ID,
  RequestCode.POP_MESSAGE,
  RequestCode.PEEK_MESSAGE,
]

interface Found {
  message: StoredMessage
  bytes: Buffer
}

/** Records of an answer by what makes them the same message on both brokers. */
function foundIn(body: Buffer): Map<string, Found> {
  const found = new Map<string, Found>()
  let at = 0
  for (const message of decodeRecords(body)) {
    const bytes = body.subarray(at, at + message.totalSize)
    at += message.totalSize
    const { topic, queueId, properties, reconsumeTimes } = message
    found.set(`${topic} ${queueId} ${properties['UNIQ_KEY']} ${reconsumeTimes}`, { message, bytes })
  }
  return found
}

function pairsOf(golden: GoldenFrame, recorded: RemotingCommand, ours: RemotingCommand): [Found, Found][] {
  if (!recordCodes.includes(golden.request ?? -1) || recorded.code !== 0 || ours.code !== 0) return []
  const own = foundIn(ours.body)
  return [...foundIn(recorded.body)].flatMap(([key, theirs]) => {
    const same = own.get(key)
    return same === undefined ? [] : [[theirs, same] as [Found, Found]]
  })
}
