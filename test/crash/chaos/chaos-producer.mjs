// Sends messages of every kind and writes down what it was told. SIGUSR2: sends no more, says "done", stays to answer check-backs.
// SIGTERM: finishes what is under way and ends with 0.
import { setTimeout as pause } from 'node:timers/promises'
import { Producer, TransactionProducer } from '@tandemmq/client'
import { between, connection, hashOf, history, idOf, makeBody, random, run } from './client-kit.mjs'
import { Decisions } from './decisions.mjs'
import { topics } from './groups.mjs'

/** Mean pause between two messages of a lane, ms. */
const PAUSE_MS = Number(process.env.CHAOS_PAUSE_MS ?? 150)
/** Half messages without a decision are given up at this age, when somebody asks. */
const UNDECIDED_MS = 4_000
const KEYS = 3

const { proc, member } = run
const patience = { sendTimeoutMs: 20_000, retriesMax: 30 }
const producer = new Producer({ ...connection, ...patience, group: 'chaos-producers' })
const decisions = new Decisions(run.directory, proc)
const transactions = new TransactionProducer({
  ...connection,
  ...patience,
  group: 'chaos-transactions',
  check: async (message) => {
    const id = idOf(message.body)
    const isOld = Date.now() - message.bornTimestamp > UNDECIDED_MS
    const decision = decisions.find(id) ?? (isOld ? decisions.decide(id, 'rollback') : undefined)
    if (decision !== undefined) history.write(`local.${decision}`, { id })
    return decision ?? 'unknown'
  },
})
const life = { isStopping: false }
let next = 0

function start(kind, topic, extra = {}, plan = {}, id = `${proc}-${next++}`) {
  const body = makeBody(id, plan)
  history.write('send.start', { id, topic, kind, hash: hashOf(body), ...extra })
  return { id, topic, body }
}

const ok = (id, { queueId, queueOffset, duplicate }) =>
  history.write('send.ok', { id, queueId, offset: Number(queueOffset), duplicate })

function failed(id, error) {
  // Refused for a reason no repeat cures: the broker certainly did not keep it. Anything else may be stored.
  const isDefinite = error.retryable === false && !['ABORTED', 'CLOSED'].includes(error.code)
  history.write(isDefinite ? 'send.fail' : 'send.unknown', { id, code: error.code, text: error.message })
}

async function attempt({ id, ...message }) {
  try {
    const receipt = await producer.send(message)
    ok(id, receipt)
    return receipt
  } catch (error) {
    failed(id, error)
    return undefined
  }
}

const plain = () => attempt(start('plain', topics.plain))

async function ordered() {
  const key = `${member}-k${between(1, KEYS)}`
  const plan = random() < 0.03 ? { fails: random() < 0.3 ? 99 : 1, delayMs: 200 } : {}
  await attempt({ ...start('ordered', topics.ordered, { key }, plan), orderBy: key })
}

async function failing() {
  const plan = { fails: random() < 0.15 ? 99 : between(0, 3), delayMs: between(200, 1_500), rejected: random() < 0.1 }
  await attempt(start('failing', topics.failing, {}, plan))
}

async function delayed() {
  const ms = between(200, 5_000)
  const when = random() < 0.5 ? { delayMs: ms } : { deliverAt: Date.now() + ms }
  const message = start('delayed', topics.plain, when)
  const deliverAt = when.deliverAt === undefined ? undefined : new Date(when.deliverAt)
  const receipt = await attempt({ ...message, ...when, deliverAt })
  if (receipt === undefined || random() >= 0.2) return
  await pause(between(0, ms))
  history.write('cancel.start', { id: message.id })
  try {
    history.write('cancel.ok', { id: message.id, outcome: await producer.cancel(receipt) })
  } catch (error) {
    history.write('cancel.fail', { id: message.id, code: error.code })
  }
}

async function half() {
  const { id, ...message } = start('half', topics.plain)
  let prepared
  try {
    prepared = await transactions.prepare(message)
    history.write('send.ok', { id, queueId: 0, offset: Number(prepared.queueOffset), duplicate: prepared.duplicate })
  } catch (error) {
    failed(id, error)
  }
  const decision = decisions.decide(id, prepared !== undefined && random() < 0.7 ? 'commit' : 'rollback')
  history.write(`local.${decision}`, { id })
  // One end in ten is never sent: the broker must ask.
  if (prepared === undefined || random() < 0.1) return
  await transactions.end(prepared, decision).catch(() => undefined)
}

let shared = 0
/** What an application does that forgot whether it had sent, and two that share the work without telling each other. */
async function dedup() {
  const isShared = random() < 0.5
  const id = isShared ? `${member < 'p2' ? 'left' : 'right'}-${shared++}` : `${proc}-${next++}`
  const body = Buffer.from(`${id}\n{}\n`)
  const message = { topic: topics.plain, body, dedupKey: `key-${id}` }
  for (let times = 1 + between(0, 2); times > 0 && !life.isStopping; times--) {
    history.write('send.start', {
      id,
      topic: topics.plain,
      kind: 'dedup',
      hash: hashOf(body),
      dedupKey: message.dedupKey,
    })
    await attempt({ id, ...message })
    await pause(between(0, 1_000))
  }
}

async function request() {
  const { id, ...message } = start('request', topics.requests)
  try {
    const reply = await producer.request(message, { timeoutMs: 5_000 })
    history.write('request.ok', { id, answers: reply.text() })
  } catch (error) {
    history.write('request.fail', { id, code: error.code })
  }
}

async function lane(send) {
  while (!life.isStopping) {
    await send()
    await pause(between(0, 2 * PAUSE_MS))
  }
}

await Promise.all([producer.start(), transactions.start()])
const lanes = [plain, plain, ordered, ordered, failing, delayed, half, dedup, request].map(lane)
const finished = Promise.all(lanes).then(() => console.log('done'))
process.on('SIGUSR2', () => (life.isStopping = true))
process.on('SIGTERM', async () => {
  life.isStopping = true
  await finished
  await Promise.all([producer.close(), transactions.close()])
  process.exit(0)
})
console.log('ready')
