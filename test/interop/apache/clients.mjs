// Our producers and consumers on a broker that is not ours.
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { ReconsumeLater, RejectMessage } from '@tandemmq/client'
import { until } from '../servers/process.mjs'
import { ARRIVE_MS, expect, expectSame } from './world.mjs'

const numbered = (count, name = 'm') => Array.from({ length: count }, (_, n) => `${name}${n}`)

export const clients = {
  async sends(world) {
    const producer = await world.producer()
    const receipt = await producer.send({
      ...{ topic: world.topic, tag: 'created', keys: ['o-1', 'o-2'], body: 'one' },
      properties: { region: 'eu', odd: 'ü , = "' },
    })
    expect(
      receipt.messageId.length >= 32 && receipt.queueOffset >= 0n,
      `a receipt, not ${JSON.stringify(receipt, bigints)}`,
    )
    await producer.sendAll([
      { topic: world.topic, body: 'two' },
      { topic: world.topic, body: 'three' },
    ])
    producer.sendOneway({ topic: world.topic, body: 'four' })
    const large = randomBytes(40_000).toString('hex')
    await producer.send({ topic: world.topic, body: large })
    const { received } = await world.consumer()
    await world.arrived(received, ['one', 'two', 'three', 'four', large])
    const first = received.find((message) => message.text() === 'one')
    expect(first.tag === 'created' && first.keys.join() === 'o-1,o-2', 'tag and keys')
    expect(first.properties.region === 'eu' && first.properties.odd === 'ü , = "', 'properties')
    expect(first.messageId === receipt.messageId && first.attempt === 1, 'the id of the receipt, first attempt')
  },

  async tags(world) {
    const producer = await world.producer()
    for (const tag of ['a', 'b', 'c', 'Aa', 'BB']) await producer.send({ topic: world.topic, tag, body: tag })
    // Aa and BB have one hash.
    const { received } = await world.consumer({}, { tags: ['b', 'Aa'] })
    await world.arrived(received, ['b', 'Aa'])
  },

  async sql(world) {
    const producer = await world.producer()
    for (let n = 0; n < 10; n++) {
      const properties = { amount: String(n), region: n % 2 === 0 ? 'eu' : 'us' }
      await producer.send({ topic: world.topic, body: `m${n}`, properties })
    }
    const { received } = await world.consumer({}, { sql: "amount > 3 AND region = 'eu'" })
    await world.arrived(received, ['m4', 'm6', 'm8'])
  },

  async orderly(world) {
    const producer = await world.producer()
    for (let n = 0; n < 60; n++) await producer.send({ topic: world.topic, body: `${n}`, orderBy: `customer-${n % 3}` })
    const seen = [[], [], []]
    let failures = 0
    await world.consumer({ ordered: true }, '*', (message) => {
      const n = Number(message.text())
      // A failure holds its queue: later ones must not pass.
      if (n === 12 && failures++ < 2) throw new ReconsumeLater({ delayMs: 200 })
      seen[n % 3].push(n)
    })
    await until('sixty messages', () => seen.flat().length >= 60, ARRIVE_MS)
    for (const list of seen)
      expectSame(
        list.map(String).filter((n, at) => Number(n) === list.toSorted((a, b) => a - b)[at]),
        list.map(String),
        'order per key',
      )
    expect(failures === 3, `two failures and a success, not ${failures}`)
  },

  async broadcasting(world) {
    await world.send(['first'])
    const one = await world.consumer({ mode: 'broadcasting' })
    const two = await world.consumer({ mode: 'broadcasting' })
    await world.arrived(one.received, ['first'])
    await world.arrived(two.received, ['first'])
    await world.send(numbered(10))
    await world.arrived(one.received, ['first', ...numbered(10)])
    await world.arrived(two.received, ['first', ...numbered(10)])
  },

  async clustering(world) {
    await world.send(['first'])
    const one = await world.consumer()
    await world.arrived(one.received, ['first'])
    const two = await world.consumer()
    const got = () => [...one.received, ...two.received].map((message) => message.text())
    let sent = ['first']
    for (let round = 0; two.received.length === 0; round++) {
      expect(round < 60, 'work for the second member within a minute')
      const more = numbered(8, `round ${round} `)
      await world.send(more)
      sent = [...sent, ...more]
      await pause(1_000)
    }
    await until('all of them', () => new Set(got()).size >= sent.length, ARRIVE_MS)
    await pause(1_000)
    // What was on its way while the queues moved may come twice, nothing may be missing.
    expectSame([...new Set(got())], sent, 'messages of the group')
    await one.close()
    const before = two.received.length
    await world.send(numbered(40, 'alone '))
    await until('the one left has all queues', () => two.received.length >= before + 40, ARRIVE_MS)
  },

  async retry(world) {
    await world.send(['twice'])
    const attempts = []
    const { received } = await world.consumer({}, '*', (message) => {
      attempts.push(message.attempt)
      if (message.attempt === 1) throw new Error('not yet')
      if (message.attempt === 2) throw new ReconsumeLater({ delayMs: 1_000 })
    })
    await until('three attempts', () => received.length === 1, ARRIVE_MS)
    expectSame(attempts.map(String), ['1', '2', '3'], 'attempts')
    expect(received[0].topic === world.topic, 'its own topic')
  },

  async deadLetter(world) {
    await world.send(['poison', 'reject'])
    let attempts = 0
    await world.consumer({ attemptsMax: 2 }, '*', (message) => {
      if (message.text() === 'reject') throw new RejectMessage('no amount')
      attempts++
      throw new ReconsumeLater({ delayMs: 1_000 })
    })
    const puller = await world.puller(`D${world.group}`)
    const dead = []
    const stop = new AbortController()
    await until(
      'the dead letter topic',
      async () => (await (await world.admin()).topics()).includes(`%DLQ%${world.group}`),
      ARRIVE_MS,
    )
    const reading = (async () => {
      for await (const message of puller.messages(`%DLQ%${world.group}`, { from: 'first', signal: stop.signal }))
        dead.push(message)
    })().catch(() => {})
    await until('two dead letters', () => dead.length >= 2, ARRIVE_MS)
    stop.abort()
    await reading
    expectSame(
      dead.map((message) => message.text()),
      ['poison', 'reject'],
      'dead letters',
    )
    expect(attempts === 2, `two attempts, not ${attempts}`)
  },

  async redrive(world) {
    const bodies = ['plain', 'half', 'late']
    const admin = await world.admin()
    await admin.createTopic(world.topic)
    let isReady = false
    const attempts = []
    // As applications do: what a group misses at its start it may miss, but never what comes back to it.
    const { received } = await world.consumer({ startFrom: 'last' }, '*', (message) => {
      if (!isReady) throw new RejectMessage('nothing on hand')
      attempts.push(message.attempt)
    })
    const producer = await world.producer()
    const one = (body) => ({ topic: world.topic, body, tag: 't', keys: [body], dedupKey: body })
    await producer.send(one('plain'))
    await producer.send({ ...one('late'), delayMs: 2_000 })
    const transactions = await world.transactionProducer(() => 'unknown')
    await transactions.end(await transactions.prepare(one('half')), 'commit')
    const dead = async () => {
      const found = []
      for await (const { message } of admin.deadLetters(world.group)) found.push(message.keys[0])
      return found
    }
    await until('three dead letters', async () => (await dead()).length === bodies.length, ARRIVE_MS)
    expectSame(await dead(), bodies, 'dead letters')
    const refusal = await admin.redrive(world.group).catch((error) => error.code)
    expect(refusal === 'REQUEST_NOT_SUPPORTED', `REQUEST_NOT_SUPPORTED, not ${JSON.stringify(refusal)}`)
    isReady = true
    const redrivenAt = Date.now()
    const { redriven } = await admin.redrive(world.group, { unrecorded: true })
    expect(redriven === 3, `three redriven, not ${redriven}`)
    await until('all of them', () => received.length === 3, ARRIVE_MS)
    // A half message would wait for a check, a delayed one for its time.
    expect(Date.now() - redrivenAt < 1_500, `them at once, not after ${Date.now() - redrivenAt} ms`)
    await world.arrived(received, bodies)
    expectSame(attempts.map(String), ['1', '1', '1'], 'attempts')
    const [first] = received
    const isWhole = first.tag === 't' && first.properties.DEDUP_KEY === first.text()
    expect(first.topic === world.topic && isWhole, 'topic, tag and key as they were sent')
  },

  async delays(world) {
    const producer = await world.producer()
    const { received } = await world.consumer()
    const sentAt = Date.now()
    await producer.send({ topic: world.topic, body: 'level', delayLevel: 2 })
    await producer.send({ topic: world.topic, body: 'ms', delayMs: 3_000 })
    await producer.send({ topic: world.topic, body: 'at', deliverAt: new Date(sentAt + 4_000) })
    const at = new Map()
    await until(
      'three messages',
      () => {
        for (const message of received) if (!at.has(message.text())) at.set(message.text(), Date.now() - sentAt)
        return at.size === 3
      },
      ARRIVE_MS,
    )
    for (const [name, ms] of [
      ['level', 5_000],
      ['ms', 3_000],
      ['at', 4_000],
    ]) {
      expect(at.get(name) >= ms - 50 && at.get(name) < ms + 15_000, `${name} after ${ms} ms, not ${at.get(name)}`)
    }
  },

  async cancel(world) {
    const producer = await world.producer()
    const never = await producer.send({ topic: world.topic, body: 'never', delayMs: 6_000 })
    expect((await producer.cancel(never)) === 'cancelled', 'a cancelled message')
    await producer.send({ topic: world.topic, body: 'marker', delayMs: 8_000 })
    const { received } = await world.consumer()
    await world.arrived(received, ['marker'])
  },

  async startFrom(world) {
    await world.send(['old'])
    await pause(1_500)
    const middle = new Date()
    await pause(1_500)
    await world.send(['young'])
    const first = await world.consumer({ group: `${world.group}-first`, startFrom: 'first' })
    const dated = await world.consumer({ group: `${world.group}-date`, startFrom: middle })
    await world.arrived(first.received, ['old', 'young'])
    await world.arrived(dated.received, ['young'])
  },

  async pull(world) {
    await world.send(numbered(25))
    const puller = await world.puller()
    const got = []
    for await (const message of puller.messages(world.topic, { from: 'first' })) {
      got.push(message.text())
      if (got.length === 25) break
    }
    expectSame(got, numbered(25), 'pulled messages')
  },

  async transactions(world) {
    const asked = []
    const producer = await world.transactionProducer(async (message) => {
      asked.push(message.text())
      // Apache also asks about what was ended while it looked.
      return message.text().endsWith('commit') ? 'commit' : 'rollback'
    })
    for (const [body, decision] of [
      ['commit', 'commit'],
      ['rollback', 'rollback'],
      ['check commit', 'unknown'],
      ['check rollback', 'unknown'],
    ]) {
      await producer.sendInTransaction({ topic: world.topic, body }, async () => decision)
    }
    const { received } = await world.consumer()
    const left = ['check commit', 'check rollback']
    await until('the check-backs', () => left.every((body) => asked.includes(body)), ARRIVE_MS)
    const got = () => new Set(received.map((message) => message.text()))
    await until('both commits', () => got().size >= 2, ARRIVE_MS)
    await pause(5_000)
    // Where END and check-back cross on the way, Apache delivers twice.
    expectSame([...got()], ['commit', 'check commit'], 'committed messages')
  },

  async lease(world) {
    await world.send(numbered(30))
    let failed = 0
    const fails = (message) => {
      if (message.text() === 'm7' && message.attempt === 1) {
        failed++
        throw new ReconsumeLater({ delayMs: 10_000 })
      }
    }
    const members = await Promise.all(
      [0, 1].map(() => world.consumer({ mode: 'lease', invisibleMs: 15_000 }, '*', fails)),
    )
    const all = () => members.flatMap(({ received }) => received)
    await until('thirty messages', () => all().length >= 30, 90_000)
    await pause(1_500)
    expectSame(
      all().map((message) => message.text()),
      numbered(30),
      'leased messages',
    )
    expect(failed === 1, `one failure, not ${failed}`)
  },

  async requestReply(world) {
    const producer = await world.producer()
    const { received } = await world.consumer({}, '*', async (message) => {
      await producer.reply(message, { level: message.json().sku.length })
    })
    let answer
    // The requester is known to the broker from its first heartbeat on.
    await until(
      'an answer',
      async () => {
        try {
          answer = await producer.request({ topic: world.topic, body: { sku: 'abc' } }, { timeoutMs: 4_000 })
          return true
        } catch (error) {
          if (error.code === 'REQUEST_TIMEOUT' || error.retryable) return false
          throw error
        }
      },
      ARRIVE_MS,
    )
    expect(answer.json().level === 3, `level 3, not ${answer.text()}`)
    await until('the question is consumed', () => received.length > 0, ARRIVE_MS)
  },

  async admin(world) {
    const admin = await world.admin()
    await admin.createTopic(world.topic, { queues: 2 })
    const producer = await world.producer()
    await until('a route', async () => (await admin.queues(world.topic).catch(() => [])).length === 2, ARRIVE_MS)
    const receipt = await producer.send({ topic: world.topic, keys: ['k-1'], body: 'find me' })
    expect((await admin.topics()).includes(world.topic), 'the topic among all topics')
    await until(
      'the message by its id',
      async () => (await admin.messageById(receipt.messageId, world.topic))?.text() === 'find me',
      ARRIVE_MS,
    )
    await until(
      'the message by its key',
      async () => (await admin.messagesByKey(world.topic, 'k-1')).length === 1,
      ARRIVE_MS,
    )
    const consumer = await world.consumer()
    await world.arrived(consumer.received, ['find me'])
    expect((await admin.consumerConnections(world.group)).members.length === 1, 'one member')
    await until(
      'committed',
      async () =>
        (await admin.progress(world.group))
          .filter(({ topic }) => topic === world.topic)
          .every(({ maxOffset, committedOffset }) => maxOffset === committedOffset),
      ARRIVE_MS,
    )
    await admin.resetOffset(world.group, world.topic, 'first')
    await until('the message again', () => consumer.received.length === 2, ARRIVE_MS)
    await consumer.close()
    await admin.deleteTopic(world.topic)
    await until('the topic is gone', async () => !(await admin.topics()).includes(world.topic), ARRIVE_MS)
  },
}

function bigints(_key, value) {
  return typeof value === 'bigint' ? String(value) : value
}
