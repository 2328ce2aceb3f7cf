// Two members of our SDK on a broker that is not ours, and what looks on at them: the rest of what groups must do alike on both brokers.
import { setTimeout as pause } from 'node:timers/promises'
import { ReconsumeLater } from '@tandemmq/client'
import { Tool } from '../mqadmin-tool.mjs'
import { serverJars, until } from '../servers/process.mjs'
import { ARRIVE_MS, expect, expectSame } from './world.mjs'

const numbered = (count, name = 'm') => Array.from({ length: count }, (_, n) => `${name}${n}`)
const KEYS = 6

export const pairs = {
  /** A queue has one owner at a time, and the one left goes on where the other ended. */
  async orderlyPair(world) {
    const producer = await world.producer()
    const send = async (from, to) => {
      for (let n = from; n < to; n++) await producer.send({ topic: world.topic, body: `${n}`, orderBy: `k${n % KEYS}` })
    }
    await send(0, KEYS)
    const log = []
    const running = new Map()
    const handler = async (message) => {
      const queue = `${message.brokerName}/${message.queueId}`
      expect(!running.has(queue), `one handler of queue ${queue} at a time`)
      running.set(queue, true)
      await pause(20)
      running.delete(queue)
      log.push(Number(message.text()))
    }
    const one = await world.consumer({ ordered: true }, '*', handler)
    const two = await world.consumer({ ordered: true }, '*', handler)
    await send(KEYS, 60)
    await until('sixty messages', () => new Set(log).size >= 60, ARRIVE_MS)
    await one.close()
    await send(60, 90)
    await until('thirty more for the one left', () => new Set(log).size >= 90, 2 * ARRIVE_MS)
    for (let key = 0; key < KEYS; key++) {
      const firsts = [...new Set(log.filter((n) => n % KEYS === key))]
      expectSame(
        firsts.map(String),
        numbered(15, '').map((n) => String(Number(n) * KEYS + key)),
        `messages of key ${key}`,
      )
      expect(
        firsts.every((n, at) => at === 0 || n > firsts[at - 1]),
        `order of key ${key}, not ${firsts}`,
      )
    }
    expect(two.received.length > 0, 'work for both')
  },

  /** Both go back to a moment while they run. */
  async rewindPair(world) {
    await world.send(numbered(10, 'before '))
    const members = [await world.consumer(), await world.consumer()]
    const got = (name) =>
      members
        .flatMap(({ received }) => received.map((message) => message.text()))
        .filter((text) => text.startsWith(name))
    await until('the first ten', () => new Set(got('before')).size >= 10, ARRIVE_MS)
    await pause(2_000)
    const moment = new Date()
    await pause(2_000)
    await world.send(numbered(10, 'after '))
    await until('ten more', () => new Set(got('after')).size >= 10, ARRIVE_MS)
    const [before, after] = [got('before').length, got('after').length]
    const admin = await world.admin()
    await admin.resetOffset(world.group, world.topic, moment)
    await until('the ten since that moment again', () => got('after').length >= after + 10, ARRIVE_MS)
    expect(got('before').length === before, 'nothing from before that moment')
  },

  /** A retry may go to the other member and is counted all the same. */
  async retryPair(world) {
    await world.send(numbered(12))
    const attempts = new Map()
    const fails = (message) => {
      const list = attempts.get(message.text()) ?? []
      attempts.set(message.text(), [...list, message.attempt])
      if (message.attempt === 1) throw new ReconsumeLater({ delayMs: 1_000 })
    }
    const members = [await world.consumer({}, '*', fails), await world.consumer({}, '*', fails)]
    await until('each at its second attempt', () => members.flatMap(({ received }) => received).length >= 12, 90_000)
    expect(
      [...attempts.values()].every((list) => list.includes(1) && list.includes(2)),
      `attempts 1 and 2 of each, not ${JSON.stringify([...attempts])}`,
    )
  },

  /** What the filter hook keeps away counts as consumed. */
  async filterHook(world) {
    await world.send(numbered(10))
    const filter = (message) => Number(message.text().slice(1)) % 2 === 0
    const { received } = await world.consumer({ filter })
    await world.arrived(received, ['m0', 'm2', 'm4', 'm6', 'm8'])
    const admin = await world.admin()
    const lag = async () =>
      (await admin.progress(world.group))
        .filter(({ topic }) => topic === world.topic)
        .some(({ maxOffset, committedOffset }) => maxOffset !== committedOffset)
    await until('all committed', async () => !(await lag()), ARRIVE_MS)
  },

  /** Hooks see both sides, and mqadmin reads the traces our SDK wrote. */
  async traces(world) {
    const seen = []
    const producerHook = { afterSend: ({ receipt }) => seen.push(`sent ${receipt.queueId >= 0}`) }
    const producer = await world.producer({ trace: true, hooks: [producerHook] })
    const hooks = [{ afterConsume: ({ message, succeeded }) => seen.push(`${message.text()} ${succeeded}`) }]
    const fails = (message) => {
      if (message.attempt === 1) throw new ReconsumeLater({ delayMs: 1_000 })
    }
    const { messageId } = await producer.send({ topic: world.topic, tag: 'created', keys: 'o-1', body: 'traced' })
    await world.consumer({ trace: true, hooks }, '*', fails)
    await until('the second attempt', () => seen.includes('traced true'), ARRIVE_MS)
    expectSame(seen, ['sent true', 'traced false', 'traced true'], 'what hooks saw')
    const tool = new Tool(['-cp', serverJars()], world.nameServers, process.cwd())
    let printed = ''
    const complete = async () => {
      printed = await tool.run('queryMsgTraceById', '-i', messageId)
      return /^Pub\s/m.test(printed) && (printed.match(/success|failed/g) ?? []).length >= 3
    }
    await until('traces of a send and two deliveries', complete, ARRIVE_MS)
    expect(printed.includes(world.group) && printed.includes(`P${world.group}`), `both groups in ${printed}`)
  },
}
