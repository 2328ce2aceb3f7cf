// One member of every kind of group, see groups.mjs. SIGTERM: closes as an application does and ends with 0.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { Producer, PushConsumer, ReconsumeLater, RejectMessage } from '@tandemmq/client'
import { between, connection, hashOf, history, idOf, planOf, random, run } from './client-kit.mjs'
import { groups } from './groups.mjs'

const { member, proc, directory } = run
const replier = new Producer({ ...connection, group: 'chaos-replies' })
let handled = 0

function received(group, message) {
  const op = `${proc}#${handled++}`
  const { body } = message
  history.write('recv', {
    ...{ op, id: idOf(body), hash: hashOf(body), group, member, topic: message.storedTopic, queueId: message.queueId },
    ...{ offset: Number(message.queueOffset), attempt: message.attempt, storedAt: message.storedAt.getTime() },
  })
  return op
}

const workMs = (isOrdered) => (random() < 0.03 ? between(300, isOrdered ? 1_200 : 4_500) : between(0, 10))

function handlerOf({ group, mode }) {
  const isOrdered = mode === 'ordered' || mode === 'lease-ordered'
  return async (message, { signal }) => {
    const op = received(group, message)
    signal.addEventListener('abort', () => history.write('lost', { op }), { once: true })
    if (group === 'repliers') await replier.reply(message, idOf(message.body)).catch(() => undefined)
    else await pause(workMs(isOrdered))
    if (signal.aborted) throw new Error('nobody waits for this any more')
    const { fails = 0, rejected = false, delayMs = 0 } = mode === 'broadcasting' ? {} : planOf(message.body)
    if (rejected) {
      history.write('reject', { op })
      throw new RejectMessage('not wanted')
    }
    // What always fails would hold the others of its key up for ever where attempts have no limit.
    if (message.attempt <= (mode === 'lease-ordered' ? Math.min(fails, 2) : fails)) {
      history.write('nack', { op, delayMs })
      throw new ReconsumeLater({ delayMs }, 'asked to fail')
    }
    history.write('done', { op })
  }
}

/** A file per member and group, replaced as a whole. */
class FileOffsets {
  #path = `${directory}/offsets-${member}.json`
  #offsets = this.#read()

  #read() {
    try {
      return JSON.parse(readFileSync(this.#path, 'utf8'))
    } catch (error) {
      if (error.code === 'ENOENT') return {}
      throw error
    }
  }

  async read(_group, { topic, queueId }) {
    const offset = this.#offsets[`${topic}/${queueId}`]
    return offset === undefined ? undefined : BigInt(offset)
  }

  async write(_group, { topic, queueId }, offset) {
    this.#offsets[`${topic}/${queueId}`] = Number(offset)
    writeFileSync(`${this.#path}.new`, JSON.stringify(this.#offsets))
    renameSync(`${this.#path}.new`, this.#path)
  }
}

const modes = {
  clustering: { mode: 'clustering' },
  ordered: { mode: 'clustering', ordered: true },
  lease: { mode: 'lease' },
  'lease-ordered': { mode: 'lease', ordered: true },
  broadcasting: { mode: 'broadcasting', broadcastOffsets: new FileOffsets() },
}
const consumers = groups.map((options) => {
  const { group, topic, mode, attemptsMax, invisibleMs } = options
  history.write('join', { group, topic, member, mode, attemptsMax, invisibleMs })
  const consumer = new PushConsumer({
    ...connection,
    ...modes[mode],
    ...{ group, attemptsMax, invisibleMs, clientId: `${member}@${group}`, startFrom: 'first' },
    ...{ rebalanceIntervalMs: 1_000, commitIntervalMs: 500, holdMs: 3_000, drainTimeoutMs: 6_000 },
  })
  return consumer.subscribe(topic, '*', handlerOf(options))
})

let isEnding = false
process.on('SIGTERM', async () => {
  if (isEnding) return
  isEnding = true
  await Promise.all(consumers.map((consumer) => consumer.close()))
  await replier.close()
  process.exit(0)
})
await Promise.all([replier.start(), ...consumers.map((consumer) => consumer.start())])
console.log('ready')
