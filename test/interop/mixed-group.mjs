// A Java push consumer and one of ours in one group, on our broker and on Apache's: together they get every message, and whoever is
// left gets all queues. Prints one table; exits 1 when a cell is red: node test/interop/mixed-group.mjs
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, expectSame, World } from './apache/world.mjs'
import { apacheRun, untilRegistered } from './servers/apache-run.mjs'
import { freePort, ours, until } from './servers/process.mjs'
import { printTable } from './table.mjs'

const SETTLE_MS = 90_000
const { scratch, apache, keep, stopAll } = apacheRun('mixed')

const brokers = {
  async 'on TandemMQ'() {
    const port = await freePort()
    await keep(ours('up', '--port', String(port), '--data-dir', join(scratch, 'data'))).line(/ready on/)
    return `127.0.0.1:${port}`
  },
  async 'on Apache 5.3.3'() {
    const [names, port] = [await freePort(), await freePort()]
    keep(apache.nameServer(names))
    keep(apache.broker('mixed', port, [`127.0.0.1:${names}`]))
    return `127.0.0.1:${names}`
  },
}

/** Who got which body, over all members. */
class Group {
  constructor(world, java) {
    this.world = world
    this.java = java
    this.sent = 0
  }

  javaBodies() {
    return this.java.lines.filter((line) => line.startsWith('GOT ')).map((line) => line.split(' ').slice(2).join(' '))
  }

  ourBodies() {
    return this.member?.received.map((message) => message.text()) ?? []
  }

  /** Sends until `isSo`, then waits for everything that was sent. @returns the bodies */
  async sendUntil(what, isSo) {
    const bodies = []
    const deadline = Date.now() + SETTLE_MS
    for (;;) {
      for (let n = 0; n < 8; n++) {
        const body = `m${this.sent++}`
        bodies.push(body)
        await this.producer.send({ topic: this.world.topic, body })
      }
      await pause(500)
      if (isSo()) break
      expect(Date.now() < deadline, what)
    }
    await this.arrived(bodies)
  }

  async arrived(bodies) {
    const got = () => new Set([...this.javaBodies(), ...this.ourBodies()])
    await until(`${bodies.length} messages`, () => bodies.every((body) => got().has(body)))
  }

  /** With members that have agreed on their queues each message comes once. */
  async exactlyOnce(count) {
    const before = [this.javaBodies().length, this.ourBodies().length]
    const bodies = Array.from({ length: count }, () => `m${this.sent++}`)
    for (const body of bodies) await this.producer.send({ topic: this.world.topic, body })
    await this.arrived(bodies)
    await pause(1_500)
    const [java, own] = [this.javaBodies().slice(before[0]), this.ourBodies().slice(before[1])]
    expectSame([...java, ...own], bodies, 'each message once')
    return { java: java.length, ours: own.length }
  }
}

const scenarios = {
  async 'share, each message once'(group) {
    const grows = (list) => {
      const before = list().length
      return () => list().length > before
    }
    const [java, own] = [grows(() => group.javaBodies()), grows(() => group.ourBodies())]
    await group.sendUntil('work for both', () => java() && own())
    await pause(5_000)
    const shares = await group.exactlyOnce(80)
    expect(shares.java === 40 && shares.ours === 40, `half of the queues for each, not ${JSON.stringify(shares)}`)
  },
  async 'ours leaves, Java has all'(group) {
    await group.member.close()
    const before = group.javaBodies().length
    await group.sendUntil('all queues with Java', () => group.javaBodies().length > before)
    await pause(3_000)
    const shares = await group.exactlyOnce(40)
    expect(shares.java === 40, `everything for Java, not ${JSON.stringify(shares)}`)
  },
  async 'ours comes back'(group) {
    const old = group.member.received
    group.member = await group.world.consumer()
    group.member.received.unshift(...old)
    const before = group.ourBodies().length
    await group.sendUntil('work for ours again', () => group.ourBodies().length > before)
    await pause(5_000)
    const shares = await group.exactlyOnce(80)
    expect(shares.ours === 40, `half of the queues for ours, not ${JSON.stringify(shares)}`)
  },
  async 'Java leaves, ours has all'(group) {
    group.java.end()
    await until('Java has left', () => group.java.isOver)
    const before = group.ourBodies().length
    await group.sendUntil('all queues with ours', () => group.ourBodies().length > before)
    await pause(3_000)
    const shares = await group.exactlyOnce(40)
    expect(shares.ours === 40, `everything for ours, not ${JSON.stringify(shares)}`)
  },
}

const results = new Map()
for (const [name, start] of Object.entries(brokers)) {
  const cells = new Map()
  results.set(name, cells)
  const nameServers = await start()
  const world = new World(nameServers, `x${Date.now().toString(36)}`, 'mixed')
  try {
    await untilRegistered(nameServers)
    await (await world.admin()).createTopic(world.topic, { queues: 4 })
    const java = keep(apache.client(nameServers, world.topic, world.group))
    const group = new Group(world, java)
    await java.line(/READY/)
    group.producer = await world.producer()
    group.member = await world.consumer()
    for (const [scenario, run] of Object.entries(scenarios)) {
      try {
        await run(group)
        cells.set(scenario, 'ok')
      } catch (error) {
        cells.set(scenario, `failed ${error.stack}`)
      }
      console.error(`${name}, ${scenario}: ${cells.get(scenario).slice(0, 200)}`)
    }
  } catch (error) {
    cells.set('(start)', `failed ${error.stack}`)
  } finally {
    await world.close().catch(() => {})
  }
}
await stopAll()
const red = printTable(results)
if (red === 0) rmSync(scratch, { recursive: true, force: true })
process.exit(red > 0 ? 1 : 0)
