// Sends messages of every kind to a broker that comes and goes, and writes down what it was told. SIGTERM: finishes what
// is under way, prints "done", and stays to answer check-backs until its second SIGTERM.
// Usage: node broker-producer.mjs ADDRESS HISTORY_DIR NAME SEED LANES
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Producer, TransactionProducer } from '@tandemmq/client'
import { HistoryWriter } from '../kit/history-writer.mjs'

const [nameServers, directory, name, seed, lanes] = process.argv.slice(2)
const history = new HistoryWriter(directory, name)
let state = Number(seed) >>> 0
const random = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 4_294_967_296
}

// Longer than any restart: what is still not stored then is an error worth seeing.
const patience = { sendTimeoutMs: 20_000, retriesMax: 30, requestTimeoutMs: 2_000 }
const producer = new Producer({ nameServers, group: 'crash-producer', ...patience })
const decisions = new Map()
const transactions = new TransactionProducer({
  nameServers,
  group: 'crash-transactions',
  ...patience,
  check: async (message) => decisions.get(idOf(message.body)) ?? 'unknown',
})
const idOf = (body) => body.subarray(0, body.indexOf(10)).toString()

const stopping = { signals: 0 }
let next = 0
process.on('SIGTERM', () => (stopping.signals += 1))

/** An id, a line end, and filler: mostly small, sometimes large enough to cross pages and segments. */
function makeBody(id) {
  const size = random() < 0.02 ? 200_000 * random() : 1_500 * random() * random()
  return Buffer.concat([Buffer.from(`${id}\n`), Buffer.alloc(Math.floor(size), id)])
}

function start(kind, topic, extra = {}) {
  const id = `${name}-${next++}`
  const body = makeBody(id)
  const hash = createHash('sha256').update(body).digest('base64url').slice(0, 16)
  history.write('send.start', { id, topic, kind, hash, ...extra })
  return { id, topic, body }
}

const ok = (id, receipt) =>
  history.write('send.ok', {
    id,
    queueId: receipt.queueId,
    offset: Number(receipt.queueOffset),
    again: receipt.duplicate,
  })

function failed(id, error) {
  // Refused for a reason no repeat cures: the broker certainly did not keep it. Anything else may be stored.
  const isDefinite = error.retryable === false && !['ABORTED', 'CLOSED'].includes(error.code)
  history.write(isDefinite ? 'send.fail' : 'send.unknown', { id, code: error.code, text: error.message })
}

async function attempt({ id, ...message }) {
  try {
    ok(id, await producer.send(message))
  } catch (error) {
    failed(id, error)
  }
}

async function transaction(topic) {
  const { id, ...message } = start('half', topic)
  let prepared
  try {
    prepared = await transactions.prepare(message)
    ok(id, { ...prepared, queueId: 0 })
  } catch (error) {
    failed(id, error)
  }
  const decision = prepared !== undefined && random() < 0.7 ? 'commit' : 'rollback'
  history.write(`local.${decision}`, { id })
  decisions.set(id, decision)
  // One end in ten is never sent: the broker must ask.
  if (prepared === undefined || random() < 0.1) return
  try {
    history.write('end', { id, outcome: await transactions.end(prepared, decision) })
  } catch (error) {
    history.write('end', { id, code: error.code })
  }
}

async function batch(topic) {
  const messages = Array.from({ length: 2 + Math.floor(random() * 6) }, () => start('batch', topic))
  try {
    const receipts = await producer.sendAll(messages.map(({ topic: to, body }) => ({ topic: to, body })))
    for (const [index, { id }] of messages.entries()) ok(id, receipts[index])
  } catch (error) {
    for (const { id } of messages) failed(id, error)
  }
}

async function dedup(topic) {
  const message = start('dedup', topic)
  const keyed = { ...message, dedupKey: `key-${message.id}` }
  await attempt(keyed)
  // What an application does that forgot whether it had sent: the answer must be the first one's place.
  if (random() < 0.5) await attempt(keyed)
}

async function lane(number) {
  const topic = `crash-${number % 2}`
  while (stopping.signals === 0) {
    const dice = random()
    if (dice < 0.7) await attempt(start('plain', topic))
    else if (dice < 0.8) await dedup(topic)
    else if (dice < 0.87) await batch(topic)
    else if (dice < 0.94) await transaction(topic)
    else {
      const delayMs = 100 + Math.floor(random() * 2_000)
      await attempt({ ...start('delayed', topic, { delayMs }), delayMs })
    }
  }
}

await Promise.all([producer.start(), transactions.start()])
console.log('ready')
await Promise.all(Array.from({ length: Number(lanes) }, (_, number) => lane(number)))
await producer.close()
console.log('done')
while (stopping.signals < 2) await pause(50)
await transactions.close()
process.exit(0)
