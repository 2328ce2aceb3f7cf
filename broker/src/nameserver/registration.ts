import { deflateSync, inflateSync } from 'node:zlib'
import { parseLenientJson, ProtocolError } from '@tandemmq/protocol'
import { type DataVersion, dataVersionOf } from './data-version.ts'
import type { RoutedTopic } from './local-broker.ts'

/** remoting.md 1.5: from this version on the body of 103 is a RegisterBrokerBody, before it a bare topic table. */
const REGISTER_BODY_VERSION = 37
/** From 5.0.0 on a section of static topics ends the compressed form. */
const MAPPING_VERSION = 413
const INFLATED_BYTES_MAX = 64 << 20
const BEST_COMPRESSION = 9
const TOPIC_PARTS_MIN = 5
const TOPIC_CHARACTERS_MAX = 512
/** Clients make one object per queue of a route. */
const QUEUES_MAX = 65_535

/** Body of REGISTER_BROKER 103 (remoting.md 2D). Filter servers and static topics are read over. */
export interface Registration {
  dataVersion: DataVersion
  topics: RoutedTopic[]
  /** Topics left out because a route cannot hold them: a name that is no name, or queue numbers out of range. */
  skipped: number
}

/**
 * @param version the sender's, from the frame's header
 * @throws {ProtocolError} BODY_INVALID
 */
export function decodeRegistration(body: Buffer, form: { compressed: boolean; version: number }): Registration {
  // A broker without topics may leave out the body.
  if (body.length === 0) return { dataVersion: dataVersionOf(undefined), topics: [], skipped: 0 }
  return form.compressed ? decodeCompressed(body, form.version) : decodeJson(body, form.version)
}

function decodeJson(body: Buffer, version: number): Registration {
  const value = jsonOf(body.toString('utf8'))
  const wrapper = objectOf(version >= REGISTER_BODY_VERSION ? value['topicConfigSerializeWrapper'] : value)
  const registration: Registration = { dataVersion: dataVersionOf(wrapper['dataVersion']), topics: [], skipped: 0 }
  for (const [name, entry] of Object.entries(objectOf(wrapper['topicConfigTable']))) {
    const config = objectOf(entry)
    add(registration, {
      name: typeof config['topicName'] === 'string' ? config['topicName'] : name,
      perm: Number(config['perm'] ?? 0),
      readQueues: Number(config['readQueueNums'] ?? 0),
      writeQueues: Number(config['writeQueueNums'] ?? 0),
      sysFlag: Number(config['topicSysFlag'] ?? 0),
    })
  }
  return registration
}

function decodeCompressed(body: Buffer, version: number): Registration {
  let bytes: Buffer
  try {
    bytes = inflateSync(body, { maxOutputLength: INFLATED_BYTES_MAX })
  } catch (cause) {
    throw new ProtocolError('BODY_INVALID', `the body does not inflate to at most ${INFLATED_BYTES_MAX} bytes`, {
      cause,
    })
  }
  const reader = new SectionReader(bytes)
  const registration: Registration = { dataVersion: dataVersionOf(jsonOf(reader.text())), topics: [], skipped: 0 }
  for (let left = reader.count(); left > 0; left--) {
    const parts = reader.text().split(' ')
    if (parts.length < TOPIC_PARTS_MIN) throw new ProtocolError('BODY_INVALID', 'a topic of the body lacks parts')
    const [name = '', readQueues, writeQueues, perm] = parts
    add(registration, {
      name,
      perm: Number(perm),
      readQueues: Number(readQueues),
      writeQueues: Number(writeQueues),
      sysFlag: 0,
    })
  }
  reader.text()
  if (version >= MAPPING_VERSION) for (let left = reader.count(); left > 0; left--) reader.text()
  return registration
}

/** The uncompressed body as 5.3.3 writes it, and the compressed one, which holds no attributes and sysFlags. */
export function encodeRegistration(registration: Omit<Registration, 'skipped'>, compressed: boolean): Buffer {
  const { dataVersion, topics } = registration
  if (!compressed) {
    const topicConfigTable = Object.fromEntries(topics.map((topic) => [topic.name, topicConfig(topic)]))
    const topicConfigSerializeWrapper = { dataVersion, mappingDataVersion: dataVersion, topicConfigTable }
    return Buffer.from(JSON.stringify({ filterServerList: [], topicConfigSerializeWrapper }))
  }
  const parts = [section(JSON.stringify(dataVersion)), int32(topics.length)]
  for (const { name, readQueues, writeQueues, perm } of topics) {
    parts.push(section(`${name} ${readQueues} ${writeQueues} ${perm} SINGLE_TAG {}`))
  }
  parts.push(section('[]'), int32(0))
  return deflateSync(Buffer.concat(parts), { level: BEST_COMPRESSION })
}

function topicConfig({ name, perm, readQueues, writeQueues, sysFlag }: RoutedTopic): Record<string, unknown> {
  return {
    attributes: {},
    order: false,
    perm,
    readQueueNums: readQueues,
    topicFilterType: 'SINGLE_TAG',
    topicName: name,
    topicSysFlag: sysFlag,
    writeQueueNums: writeQueues,
  }
}

function add(registration: Registration, topic: RoutedTopic): void {
  const { name, perm, readQueues, writeQueues, sysFlag } = topic
  const numbers = [readQueues, writeQueues].every((n) => Number.isInteger(n) && n >= 0 && n <= QUEUES_MAX)
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be in a name
  const named = name !== '' && name.length <= TOPIC_CHARACTERS_MAX && !/[\u0000-\u0020\u007f]/.test(name)
  if (named && numbers && Number.isInteger(perm) && Number.isInteger(sysFlag)) registration.topics.push(topic)
  else registration.skipped++
}

/** Length-prefixed texts and counts of the compressed form. */
class SectionReader {
  readonly #bytes: Buffer
  readonly #view: DataView
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  count(): number {
    if (this.#at + 4 > this.#bytes.length) throw new ProtocolError('BODY_INVALID', 'the body ends too early')
    const count = this.#view.getInt32(this.#at)
    this.#at += 4
    // Each entry has a length of its own, so more cannot follow.
    if (count < 0 || count > this.#bytes.length) throw new ProtocolError('BODY_INVALID', `a count of ${count}`)
    return count
  }

  text(): string {
    const end = this.count() + this.#at
    if (end > this.#bytes.length) throw new ProtocolError('BODY_INVALID', 'the body ends too early')
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end
    return text
  }
}

function section(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([int32(bytes.length), bytes])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  new DataView(bytes.buffer, bytes.byteOffset, 4).setInt32(0, value)
  return bytes
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

/** Tables are large and mostly plain JSON; only static topics need the dialect. */
function jsonOf(text: string): Record<string, unknown> {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return objectOf(parseLenientJson(text))
  }
}
