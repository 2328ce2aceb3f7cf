// Scenarios of the ali-ons client: driver.mjs NAMESERVER PREFIX [SCENARIO...]. Prints `RESULT scenario ok|failed why`, then `DONE`.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import aliOns from 'ali-ons'

const { Consumer, Message, Producer } = aliOns
const [nameServer, prefix, ...chosen] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const quiet = { info() {}, debug() {}, warn() {}, error: (...words) => console.error(...words) }
let clients = 0
let asking = Promise.resolve()

/** Asks the program that started this one for something only it can do. */
function ask(what) {
  asking = asking.then(async () => {
    console.log(`ASK ${what}`)
    await lines.next()
  })
  return asking
}

async function until(what, holds, milliseconds = 60_000) {
  const deadline = Date.now() + milliseconds
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`timeout waiting until ${what}`)
    await sleep(50)
  }
}

/** What one scenario has: names of its own, clients closed after it, and what its consumers got. */
class World {
  received = []
  #closings = []
  constructor(name) {
    this.topic = `${prefix}-${name}`
    this.group = `G-${prefix}-${name}`
  }

  // The library insists on an HTTP client, which only a lookup of addresses by HTTP would use.
  #options() {
    return { nameSrv: nameServer, httpclient: {}, instanceName: `ali-${++clients}`, logger: quiet }
  }

  async producer() {
    const producer = new Producer({ ...this.#options(), producerGroup: `P${this.group}` })
    producer.on('error', (error) => console.error(this.topic, error.message))
    this.#closings.push(() => producer.close())
    await producer.ready()
    return producer
  }

  async consume(options = {}, { tags = '*', handle = () => {} } = {}) {
    const consumer = new Consumer({
      ...this.#options(),
      consumerGroup: this.group,
      consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
      ...options,
    })
    consumer.on('error', (error) => console.error(this.topic, error.message))
    this.#closings.push(() => consumer.close())
    await consumer.ready()
    consumer.subscribe(this.topic, tags, async (message) => {
      this.received.push(message)
      return handle(message)
    })
    return consumer
  }

  async send(producer, bodies, tags = undefined) {
    for (const body of bodies) {
      const { sendStatus } = await producer.send(new Message(this.topic, tags ?? '', body))
      if (sendStatus !== 'SEND_OK') throw new Error(`send answered ${sendStatus}`)
    }
  }

  bodies() {
    return this.received.map(({ body }) => body.toString())
  }

  async expect(bodies) {
    await until(`${bodies.length} came, not ${this.bodies()}`, () => this.received.length >= bodies.length)
    await sleep(1000)
    const [got, wanted] = [this.bodies().toSorted(), bodies.toSorted()]
    if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(`got ${got}, wanted ${wanted}`)
  }

  async close() {
    for (const close of this.#closings.toReversed()) await Promise.race([close(), sleep(3000)])
  }
}

const numbered = (name, count) => Array.from({ length: count }, (_, n) => `${name} ${n}`)

const scenarios = {
  async sendSync(world) {
    const bodies = numbered('sync', 20)
    await world.send(await world.producer(), bodies)
    await world.consume()
    await world.expect(bodies)
  },
  async compressed(world) {
    const body = 'compressible '.repeat(8000)
    await world.send(await world.producer(), [body])
    await world.consume()
    await world.expect([body])
  },
  async tags(world) {
    const producer = await world.producer()
    // AaBB and BBAa have the same hash code.
    for (const tag of ['A', 'B', 'AaBB', 'BBAa']) await world.send(producer, [`tagged ${tag}`], tag)
    await world.consume({}, { tags: 'A || BBAa' })
    await until('both came', () => world.received.length >= 2)
    await world.expect(['tagged A', 'tagged BBAa'])
  },
  async clustering(world) {
    const producer = await world.producer()
    const work = [0, 0]
    for (const at of [0, 1]) await world.consume({}, { handle: () => void work[at]++ })
    const bodies = []
    await until('both members work', async () => {
      const more = numbered(`round ${bodies.length}`, 8)
      await world.send(producer, more)
      bodies.push(...more)
      await sleep(1000)
      return work[0] > 0 && work[1] > 0
    })
    await until('all came', () => bodies.every((body) => world.bodies().includes(body)))
  },
  async broadcasting(world) {
    const bodies = numbered('to all', 10)
    for (let member = 0; member < 2; member++) await world.consume({ isBroadcast: true })
    await world.send(await world.producer(), bodies)
    await world.expect([...bodies, ...bodies])
  },
  async retry(world) {
    await world.send(await world.producer(), ['twice'])
    await world.consume(
      {},
      { handle: ({ reconsumeTimes }) => (reconsumeTimes < 1 ? Consumer.ACTION_RETRY : undefined) },
    )
    await world.expect(['twice', 'twice'])
    if (world.received.some(({ topic }) => topic !== world.topic))
      throw new Error('the topic of a retry is not its own')
  },
  async delayLevel(world) {
    const producer = await world.producer()
    await world.consume()
    const message = new Message(world.topic, '', 'later')
    message.delayTimeLevel = 2
    const sent = Date.now()
    await producer.send(message)
    await world.expect(['later'])
    if (Date.now() - sent < 5900) throw new Error(`5 s, not ${Date.now() - sent - 1000} ms`)
  },
  async restart(world) {
    const producer = await world.producer()
    await world.consume()
    await world.send(producer, numbered('before', 10))
    await world.expect(numbered('before', 10))
    await ask('restart')
    for (const body of numbered('after', 10)) {
      const sent = () =>
        world.send(producer, [body]).then(
          () => true,
          () => false,
        )
      await until(`${body} was sent`, sent)
    }
    await until('all came', () => numbered('after', 10).every((body) => world.bodies().includes(body)), 90_000)
  },
}

async function run(name) {
  const world = new World(name)
  let outcome = 'ok'
  try {
    // The library does not create topics: for it a missing route is an error.
    await ask(`topic ${world.topic}`)
    await scenarios[name](world)
  } catch (error) {
    outcome = `failed ${error.stack.replace(/\s*\n\s*/g, ' | ')}`
  }
  await world.close()
  console.log(`RESULT ${name} ${outcome}`)
}

const names = Object.keys(scenarios).filter((name) => chosen.length === 0 || chosen.includes(name))
await Promise.all(names.filter((name) => name !== 'restart').map(run))
// The restart hits every connection, so it runs when nothing else does.
if (names.includes('restart')) await run('restart')
console.log('DONE')
process.exit(0)
