import { CLIENT_VERSION, RequestCode } from '@tandemmq/protocol'
import type { Connection, ReplyHandler } from '@tandemmq/remoting'
import { TEMPLATE_QUEUES, TEMPLATE_TOPIC } from '../cluster/route-table.ts'
import type { WireBody } from '../message/message.ts'

/** What one send needs besides its template. */
export interface SendFrame {
  /** Unique id; of a batch ''. */
  messageId: string
  queueId: number
  sysFlag: number
  flag: number
  bornTimestamp: number
  /** Property list in jsonSpelling. */
  properties: string
  body: WireBody
  bodyBytes: number
}

const FRAME_PREFIX_BYTES = 8
const ONEWAY = 2

/**
 * SEND_MESSAGE_V2 frames for one topic on one broker: everything that does not change per message is spelled once, the
 * rest is appended as digits. Key order is free (remoting.md 1.2).
 */
export class SendTemplate {
  readonly #topic: string
  readonly #brokerName: string
  readonly #code: number
  readonly #beforeOpaque: string
  readonly #beforeOpaqueOneway: string
  readonly #beforeQueue: string

  constructor(
    group: string,
    topic: string,
    brokerName: string,
    code: number = RequestCode.SEND_MESSAGE_V2,
    transport = 'NODE_JS',
  ) {
    this.#topic = topic
    this.#brokerName = brokerName
    this.#code = code
    const start = (flag: number): string =>
      `{"code":${code},"flag":${flag},"language":"${transport}","version":${CLIENT_VERSION},"opaque":`
    this.#beforeOpaque = start(0)
    this.#beforeOpaqueOneway = start(ONEWAY)
    const isBatch = code === RequestCode.SEND_BATCH_MESSAGE
    this.#beforeQueue =
      `,"extFields":{"a":${JSON.stringify(group)},"b":${JSON.stringify(topic)},"c":"${TEMPLATE_TOPIC}",` +
      `"d":"${TEMPLATE_QUEUES}","j":"0","k":"false","m":"${isBatch}","n":${JSON.stringify(brokerName)},"e":"`
  }

  serves(topic: string, brokerName: string, code: number): boolean {
    return this.#topic === topic && this.#brokerName === brokerName && this.#code === code
  }

  /** Writes the frame into the connection's output. On a closed connection only `reply.onFailure` is called. */
  write(connection: Connection, frame: SendFrame, timeoutMs: number, reply: ReplyHandler): void {
    const opaque = connection.expect(timeoutMs, reply)
    if (!connection.isOpen) return
    this.#put(connection, frame, this.#beforeOpaque + opaque)
  }

  /** As write, but nobody answers. */
  writeOneway(connection: Connection, frame: SendFrame): void {
    // Nobody waits for the number of a one-way frame.
    this.#put(connection, frame, `${this.#beforeOpaqueOneway}0`)
  }

  #put(connection: Connection, frame: SendFrame, start: string): void {
    const header =
      start +
      this.#beforeQueue +
      frame.queueId +
      '","f":"' +
      frame.sysFlag +
      '","g":"' +
      frame.bornTimestamp +
      '","h":"' +
      frame.flag +
      '","i":"' +
      frame.properties +
      '"}}'
    // UTF-8 takes at most 3 bytes per UTF-16 unit.
    const at = connection.reserve(FRAME_PREFIX_BYTES + header.length * 3 + frame.bodyBytes)
    const { output, outputView } = connection
    const headerAt = at + FRAME_PREFIX_BYTES
    const headerBytes = output.write(header, headerAt, 'utf8')
    const bodyAt = headerAt + headerBytes
    if (typeof frame.body === 'string') output.write(frame.body, bodyAt, 'utf8')
    else output.set(frame.body, bodyAt)
    const total = FRAME_PREFIX_BYTES + headerBytes + frame.bodyBytes
    outputView.setInt32(at, total - 4)
    // Top byte 0: the header is JSON.
    outputView.setInt32(at + 4, headerBytes)
    connection.commit(total)
  }
}
