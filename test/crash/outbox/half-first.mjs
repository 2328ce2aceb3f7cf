// The negative control: half message first, check-back by a plain SELECT. Known to lose messages, because a transaction
// that is still open looks like one that never was. It lives here so that the harness can prove that it would notice.
import { setTimeout as pause } from 'node:timers/promises'
import { TransactionProducer } from '@tandemmq/client'

const [, point, hit] = /^(P\d+):kill(?:@(\d+))?$/.exec(process.env.TANDEM_FAILPOINT ?? '') ?? []
let hitsLeft = Number(hit ?? 1)
function failpoint(name) {
  if (name === point && --hitsLeft === 0) process.kill(process.pid, 'SIGKILL')
}

/** Looks like an Outbox to whoever places orders. */
export class HalfFirst {
  #pool
  #producer

  constructor({ database, nameServers, group }) {
    this.#pool = database
    this.#producer = new TransactionProducer({ nameServers, group, check: (message) => this.#check(message) })
  }

  start() {
    return this.#producer.start()
  }

  async close() {
    await this.#producer.close()
    await this.#pool.end()
  }

  async transaction(run) {
    const client = await this.#pool.connect()
    const halves = []
    let isSlow = false
    const send = (message) => {
      // Two quick ones, two slow ones, and so on: the quick ones show that this design works as long as nobody asks.
      isSlow = Number(message.keys[0].split('-').at(-1)) % 4 >= 2
      halves.push(this.#producer.prepare(message))
    }
    try {
      await client.query('begin')
      await run(client, { send })
      await Promise.all(halves)
      // A slow statement, a busy database: long enough for the broker to ask.
      if (isSlow) await pause(2_000)
      failpoint('P6')
      await client.query('commit')
      failpoint('P11')
    } catch (error) {
      await client.query('rollback')
      await this.#end(halves, 'rollback')
      throw error
    } finally {
      client.release()
    }
    await this.#end(halves, 'commit')
    failpoint('P14')
  }

  stats() {
    return { anomalies: 0 }
  }

  async #end(halves, decision) {
    const prepared = await Promise.all(halves)
    await this.#producer.endMany(prepared.map((half) => ({ prepared: half, decision })))
  }

  async #check(message) {
    const { rowCount } = await this.#pool.query('select 1 from orders where id = $1', [message.keys[0]])
    return rowCount > 0 ? 'commit' : 'rollback'
  }
}
