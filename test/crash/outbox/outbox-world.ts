import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { type Decision, Outbox } from '@tandemmq/outbox'
import pg from 'pg'
import { expect } from 'vitest'
import { FakeBroker, type StoredHalf } from '../../../packages/outbox/src/fake-broker-test-kit.ts'

const program = new URL('./outbox-process.mjs', import.meta.url)

export async function prepareOrders(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url })
  await new Outbox({ database: pool, group: 'orders', producer: new FakeBroker().sender() }).migrate()
  await pool.query('create table orders (id text primary key, messages int not null)')
  await pool.end()
}

interface Call {
  id: number
  call: 'prepare' | 'endMany' | 'pendingOf' | 'send' | 'report'
  args: unknown[]
}

/** The orders process and what outlives it: the database, the broker, another producer of the group. */
export class OutboxWorld {
  readonly broker = new FakeBroker()
  /** What the process heard of its transactions. */
  readonly reports = new Map<string, string>()
  readonly #url: string
  readonly #pool: pg.Pool
  #child: ChildProcess | undefined

  constructor(url: string) {
    this.#url = url
    this.#pool = new pg.Pool({ connectionString: url, max: 4 })
    this.#pool.on('error', () => {})
  }

  /** @param options of its outbox, over the usual ones */
  start(failpoint: string, driver: string, prefix: string, transactions: number, options: object = {}): void {
    const child = fork(program, [this.#url, driver, prefix, String(transactions)], {
      env: { ...process.env, TANDEM_FAILPOINT: failpoint, OUTBOX_OPTIONS: JSON.stringify(options) },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    const sender = this.broker.sender()
    child.on('message', (message) => {
      const { id, call, args } = message as Call
      if (call === 'report') return void this.reports.set(String(args[0]), String(args[1]))
      this.#serve(sender, call, args).then(
        (value) => child.connected && child.send({ id, value }, () => {}),
        (error: Error & { code?: string; retryable?: boolean }) => {
          const { message: text, code, retryable } = error
          if (child.connected) child.send({ id, error: { message: text, code, retryable } }, () => {})
        },
      )
    })
  }

  async #serve(sender: ReturnType<FakeBroker['sender']>, call: Call['call'], args: unknown[]): Promise<unknown> {
    const [first, second] = args as [never, never]
    switch (call) {
      case 'prepare': {
        const half = await sender.prepare(first, second)
        return this.broker.halves.indexOf(half.opaque as StoredHalf)
      }
      case 'endMany':
        return sender.endMany(
          (first as { half: number; decision: Decision }[]).map(({ half, decision }) => {
            return { half: { opaque: this.broker.halves[half] }, decision }
          }),
        )
      case 'pendingOf':
        return sender.pendingOf(first)
      default:
        return sender.send(first)
    }
  }

  /** How it ended: a signal's name, or the exit code. */
  ended(): Promise<string> {
    const child = this.#child as ChildProcess
    return new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve(child.signalCode ?? String(child.exitCode))
      child.once('exit', (code, signal) => resolve(signal ?? String(code)))
    })
  }

  async stopped(): Promise<void> {
    const stat = `/proc/${this.#child?.pid}/stat`
    await expect.poll(() => existsSync(stat) && / T /.test(readFileSync(stat, 'utf8')), { timeout: 10_000 }).toBe(true)
  }

  continue(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Another producer of the group answers for every half message that is pending now. */
  async ask(): Promise<void> {
    const database = new pg.Pool({ connectionString: this.#url, max: 4 })
    database.on('error', () => {})
    const outbox = new Outbox({ database, group: 'orders', producer: this.broker.sender() })
    await outbox.start()
    await this.broker.checkBack()
    await outbox.close()
    await database.end()
  }

  /**
   * Lets everything that can still move move, then compares: every message of every committed order once, nothing else,
   * and nothing left behind.
   */
  async settle(): Promise<{ orders: number }> {
    const database = new pg.Pool({ connectionString: this.#url, max: 4 })
    database.on('error', () => {})
    const producer = this.broker.sender()
    await using outbox = new Outbox({ database, group: 'orders', producer, relayIntervalMs: 20, markerAgeMs: 0 })
    await outbox.start()
    const unsettled = async (): Promise<number> => {
      await this.broker.checkBack()
      const { rows } = await this.#pool.query('select count(*)::int as n from tandem.outbox')
      return this.broker.pending().length + (rows[0] as { n: number }).n
    }
    // Rows leased by the dead process are free again after 10 s; nobody here waits for that.
    await this.#pool.query('update tandem.outbox set lease_until = null')
    await expect.poll(unsettled, { timeout: 15_000 }).toBe(0)
    await outbox.sweep()
    const orders = (await this.#pool.query<{ id: string; messages: number }>('select * from orders')).rows
    const expected = orders.flatMap(({ id, messages }) => Array.from({ length: messages }, (_, n) => `${id}#${n}`))
    const delivered = this.broker.delivered.map((message) => String(message.body))
    expect(delivered.toSorted()).toEqual(expected.toSorted())
    expect((await this.#pool.query("select tx_id, state from tandem.tx where state <> 'R'")).rows).toEqual([])
    expect(this.broker.conflicts).toBe(0)
    const committed = new Set(orders.map((order) => order.id))
    for (const [id, outcome] of this.reports) {
      if (outcome === 'TRANSACTION_IN_DOUBT') continue
      expect(`${id} ${outcome === 'committed'}`).toBe(`${id} ${committed.has(id)}`)
    }
    await outbox.close()
    await database.end()
    return { orders: orders.length }
  }

  async close(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#pool.end()
  }
}
