// Drives any RocketMQ broker with raw frames and says how many it took: the same bytes to every broker, nothing of the product in
// between. One thread; frames are made from a template, answers are read as far as their code.
//
//   node frame-load.mjs produce|half|pull|e2e HOST PORT TOPIC [--connections 4] [--window 64] [--messages 100000] [--bytes 1024]
//     [--queues 4] [--readers 1] [--topics 1] [--rate 500] [--seconds 60]
//
// produce: sends, `window` of them under way on each connection. half: half messages, each followed by a one-way commit. pull: one
// connection for each queue and reader, 32 messages at a time, from offset 0. e2e: `rate` sends a second, and pulls that wait for them.
import { Buffer } from 'node:buffer'
import { connect } from 'node:net'
import { parseArgs } from 'node:util'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: 'string', default: '4' },
    window: { type: 'string', default: '64' },
    messages: { type: 'string', default: '100000' },
    bytes: { type: 'string', default: '1024' },
    queues: { type: 'string', default: '4' },
    readers: { type: 'string', default: '1' },
    topics: { type: 'string', default: '1' },
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '60' },
  },
})
const [mode, host, port, topic] = positionals
if (!['produce', 'half', 'pull', 'e2e'].includes(mode) || topic === undefined) {
  console.error('usage: node frame-load.mjs produce|half|pull|e2e HOST PORT TOPIC [--connections N] ...')
  process.exit(2)
}
const option = (name) => Number(values[name])
const messages = option('messages')
const window = option('window')
const queues = option('queues')
const topics = option('topics')
const run = ((Date.now() % 0x1_0000_0000) >>> 0).toString(16).toUpperCase().padStart(8, '0')

const codes = new Map()
const latencies = new Float32Array(messages)
const started = new Float64Array(messages)
const state = { sent: 0, done: 0, failed: 0, bytesIn: 0, pulled: 0, lastAt: 0 }
let finish
const finished = new Promise((resolve) => {
  finish = resolve
})

/** A frame whose numbers are overwritten in place. */
class Template {
  constructor(header, body) {
    const text = JSON.stringify(header)
    this.bytes = Buffer.alloc(8 + Buffer.byteLength(text) + body.length)
    this.bytes.writeInt32BE(this.bytes.length - 4, 0)
    this.bytes.writeInt32BE(Buffer.byteLength(text), 4)
    this.bytes.write(text, 8)
    body.copy(this.bytes, 8 + Buffer.byteLength(text))
    this.bodyAt = 8 + Buffer.byteLength(text)
  }

  at(mark) {
    return this.bytes.indexOf(mark)
  }
}

const OPAQUE = 1_000_000_000
const OUT_BYTES = 64 << 10
const KEY = '########'

function sendTemplate(name, queueId, isHalf) {
  const properties =
    `UNIQ_KEY\u00017F000001${run}18B4AAC2${KEY}\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002` +
    (isHalf ? 'TRAN_MSG\u0001true\u0002PGROUP\u0001bench_pg\u0002' : '')
  const header = {
    code: 310,
    extFields: {
      ...{
        a: 'bench_pg',
        b: name,
        c: 'TBW102',
        d: '4',
        e: String(queueId),
        f: isHalf ? '4' : '0',
        g: String(Date.now()),
      },
      ...{ h: '0', i: properties, j: '0', k: 'false', m: 'false' },
    },
    flag: 0,
    language: 'JAVA',
    opaque: OPAQUE,
    serializeTypeCurrentRPC: 'JSON',
    version: 441,
  }
  const template = new Template(header, Buffer.alloc(option('bytes'), 'x'))
  template.opaqueAt = template.at(`"opaque":${OPAQUE}`) + '"opaque":'.length
  template.keyAt = template.at(KEY)
  return template
}

const templates = Array.from({ length: topics }, (_, n) =>
  Array.from({ length: queues }, (_unused, queueId) => {
    const name = topics === 1 ? topic : `${topic}${String(n).padStart(4, '0')}`
    return sendTemplate(name, queueId, mode === 'half')
  }),
)

function digits(bytes, at, count, value) {
  for (let i = at + count - 1; i >= at; i--) {
    bytes[i] = 0x30 + (value % 10)
    value = Math.floor(value / 10)
  }
}

function hex(bytes, at, value) {
  for (let i = at + 7; i >= at; i--) {
    const nibble = value & 15
    bytes[i] = nibble < 10 ? 0x30 + nibble : 0x37 + nibble
    value >>>= 4
  }
}

function commitFrame(op, header) {
  const messageId = /"msgId":"([^"]*)"/.exec(header)?.[1] ?? ''
  const extFields = {
    producerGroup: 'bench_pg',
    tranStateTableOffset: /"queueOffset":"?(\d+)/.exec(header)?.[1] ?? '0',
    commitLogOffset: String(BigInt(`0x${messageId.slice(-16)}`)),
    commitOrRollback: '8',
    fromTransactionCheck: 'false',
    msgId: `7F000001${run}18B4AAC2${op.toString(16).toUpperCase().padStart(8, '0')}`,
    transactionId: /"transactionId":"([^"]*)"/.exec(header)?.[1] ?? '',
    topic,
  }
  const command = { code: 37, extFields, flag: 2, language: 'JAVA', opaque: op + 500_000_000, version: 441 }
  return new Template(command, Buffer.alloc(0)).bytes
}

function pullFrame(opaque, queueId, offset) {
  const extFields = {
    ...{ consumerGroup: 'bench_cg', topic, queueId: String(queueId), queueOffset: String(offset), maxMsgNums: '32' },
    ...{ sysFlag: '6', commitOffset: '0', suspendTimeoutMillis: '15000', subscription: '*', subVersion: '0' },
    expressionType: 'TAG',
  }
  return new Template({ code: 11, extFields, flag: 0, language: 'JAVA', opaque, version: 441 }, Buffer.alloc(0)).bytes
}

/** One connection: coalesces what is sent in one turn, cuts what comes into frames. */
class Peer {
  constructor(socket, queueId) {
    this.socket = socket
    this.queueId = queueId
    this.inFlight = 0
    this.out = Buffer.allocUnsafeSlow(OUT_BYTES)
    this.outEnd = 0
    this.kept = Buffer.alloc(0)
    socket.setNoDelay(true)
    socket.on('data', (bytes) => this.onData(bytes))
    socket.on('error', (error) => fail(error))
    socket.on('close', () => fail(new Error('the broker closed a connection')))
  }

  reserve(size) {
    if (this.outEnd + size > this.out.length) this.flush()
    if (size > this.out.length) this.out = Buffer.allocUnsafeSlow(size)
    const at = this.outEnd
    this.outEnd += size
    return at
  }

  flush() {
    if (this.outEnd === 0) return
    this.socket.write(this.out.subarray(0, this.outEnd))
    // The socket keeps the bytes until they are gone.
    this.out = Buffer.allocUnsafeSlow(OUT_BYTES)
    this.outEnd = 0
  }

  send(op) {
    const { bytes, opaqueAt, keyAt, bodyAt } = templates[op % topics][Math.floor(op / topics) % queues]
    const at = this.reserve(bytes.length)
    bytes.copy(this.out, at)
    digits(this.out, at + opaqueAt, 10, OPAQUE + op)
    hex(this.out, at + keyAt, op)
    started[op] = performance.now()
    if (mode === 'e2e') this.out.writeDoubleBE(started[op], at + bodyAt)
    this.inFlight++
  }

  write(frame) {
    const at = this.reserve(frame.length)
    frame.copy(this.out, at)
  }

  pull(offset) {
    this.write(pullFrame(2_000_000_000 + this.queueId, this.queueId, offset))
    this.flush()
  }

  onData(chunk) {
    const bytes = this.kept.length === 0 ? chunk : Buffer.concat([this.kept, chunk])
    let at = 0
    while (bytes.length - at >= 8) {
      const size = bytes.readInt32BE(at)
      if (bytes.length - at < 4 + size) break
      this.onFrame(bytes, at, at + 4 + size)
      at += 4 + size
    }
    this.kept = bytes.subarray(at)
    if (mode === 'produce' || mode === 'half') this.fill()
    this.flush()
  }

  onFrame(bytes, start, end) {
    const headerEnd = start + 8 + (bytes.readInt32BE(start + 4) & 0xffffff)
    const header = bytes.latin1Slice(start + 8, headerEnd)
    // A request of the broker (notify, check-back) is not answered.
    if ((numberAfter(header, '"flag":') & 1) === 0) return
    const code = numberAfter(header, '"code":')
    if (this.queueId >= 0) return this.onPulled(bytes, headerEnd, end, code, header)
    this.inFlight--
    const op = numberAfter(header, '"opaque":') - OPAQUE
    if (code === 0 || (code >= 10 && code <= 12)) {
      if (mode === 'half') this.write(commitFrame(op, header))
      state.lastAt = performance.now()
      if (mode !== 'e2e') latencies[state.done] = state.lastAt - started[op]
      state.done++
    } else state.failed++
    if (code !== 0) codes.set(code, (codes.get(code) ?? 0) + 1)
    if (mode !== 'e2e' && state.done + state.failed >= messages) finish()
  }

  onPulled(bytes, bodyAt, end, code, header) {
    const next = numberAfter(header, '"nextBeginOffset":"')
    if (code === 0) {
      const now = performance.now()
      for (let at = bodyAt; at + 4 <= end; at += bytes.readInt32BE(at)) {
        if (mode === 'e2e' && state.pulled < messages) latencies[state.pulled] = now - bytes.readDoubleBE(at + 88)
        state.pulled++
      }
      state.bytesIn += end - bodyAt
      state.lastAt = now
    } else if (code === 19 || code === 20 || code === 21) codes.set(code, (codes.get(code) ?? 0) + 1)
    else return fail(new Error(`pull answered ${code}: ${header}`))
    if (state.pulled >= messages) return finish()
    this.pull(next >= 0 ? next : 0)
  }

  fill() {
    while (this.inFlight < window && state.sent < messages) this.send(state.sent++)
  }
}

function numberAfter(text, key) {
  const at = text.indexOf(key)
  if (at < 0) return -1
  let from = at + key.length
  let sign = 1
  if (text.charCodeAt(from) === 0x2d) {
    sign = -1
    from++
  }
  let value = 0
  for (let digit = text.charCodeAt(from) - 0x30; digit >= 0 && digit <= 9; digit = text.charCodeAt(++from) - 0x30) {
    value = value * 10 + digit
  }
  return sign * value
}

function fail(error) {
  if (state.over) return
  console.error(error.message)
  process.exit(1)
}

function dial(queueId) {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => resolve(new Peer(socket, queueId)))
    socket.once('error', reject)
  })
}

const pullers = mode === 'pull' ? queues * option('readers') : mode === 'e2e' ? queues : 0
const producers = mode === 'pull' ? 0 : mode === 'e2e' ? 1 : option('connections')
const peers = []
for (let n = 0; n < pullers; n++) peers.push(await dial(n % queues))
for (let n = 0; n < producers; n++) peers.push(await dial(-1))

const begun = performance.now()
for (const peer of peers) {
  if (peer.queueId >= 0) peer.pull(0)
  else if (mode !== 'e2e') {
    peer.fill()
    peer.flush()
  }
}
const pace =
  mode === 'e2e' &&
  setInterval(() => {
    const due = Math.min(messages, ((performance.now() - begun) / 1_000) * option('rate'))
    const producer = peers.at(-1)
    while (state.sent < due) producer.send(state.sent++)
    producer.flush()
  }, 1)
const timeout = setTimeout(finish, option('seconds') * 1_000)
await finished
clearInterval(pace)
clearTimeout(timeout)
state.over = true
// The last commits are one-way: the broker shall have read them before the connection goes.
if (mode === 'half') await new Promise((resolve) => setTimeout(resolve, 200))
const count = mode === 'pull' || mode === 'e2e' ? Math.min(state.pulled, messages) : state.done
const seconds = (state.lastAt - begun) / 1_000
const sorted = latencies.slice(0, mode === 'pull' ? 0 : count).sort()
const at = (share) => Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 1_000)
console.log(
  JSON.stringify({
    mode,
    n: count,
    failed: state.failed,
    seconds: Number(seconds.toFixed(3)),
    per_s: Math.round(count / seconds),
    ...{ p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: at(1), bytes_in: state.bytesIn },
    codes: Object.fromEntries(codes),
  }),
)
process.exit(state.failed > 0 ? 1 : 0)
