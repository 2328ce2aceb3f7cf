import type { Pool, PoolClient, QueryResult } from 'pg'
import { isUuid } from '../database/transaction-id.ts'
import type { Clock, Logger } from '../foundation.ts'
import { messageOf, sqlState } from '../outbox-error.ts'
import { AT_HOME } from '../schema/domain.ts'
import type { Schema } from '../schema/schema.ts'
import { SYNCHRONOUS_COMMIT } from '../schema/schema.ts'

/**
 * What the database says of a key, for ever: C committed, F committed and forwarded through the outbox table, R never
 * (the answer itself has fenced it). Or, for now: its transaction runs; nobody could be asked; another database.
 */
export type MarkerState = 'C' | 'F' | 'R' | 'running' | 'unavailable' | 'notMine'

export interface Verdict {
  readonly state: MarkerState
  /** Database clock at the answer, ms since 1970; 0 where there is none. */
  readonly nowMs: number
}

export interface ResolverOptions {
  pool: Pool
  schema: Schema
  domainId: string
  clock: Clock
  logger: Logger
  /** A live transaction's key is locked; waiting longer than this means "running". Default 100. */
  lockTimeoutMs?: number
  /** Statement timeouts do not fire while a commit waits for a standby: only the caller can stop waiting. Default 1500. */
  deadlineMs?: number
}

const KEYS_PER_BATCH = 2_000
/** A backend that never answered: its connection is given up after this. */
const ABANDON_MS = 30_000
const ignore = (): void => undefined
const UNAVAILABLE: Verdict = { state: 'unavailable', nowMs: 0 }

interface Waiting {
  readonly promise: Promise<Verdict>
  resolve(verdict: Verdict): void
}

/**
 * The check-back of spec 2.5: one committed upsert. It waits for a live transaction, fences a dead one, proves that it
 * ran on the writable primary, and its own commit makes durable and replicated whatever it has seen before the answer
 * leaves. Asks that arrive while one runs share the next.
 */
export class Resolver {
  readonly #options: ResolverOptions
  readonly #lockTimeoutMs: number
  readonly #deadlineMs: number
  #waiting = new Map<string, Waiting>()
  #flushing = false
  #hung = false

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#lockTimeoutMs = options.lockTimeoutMs ?? 100
    this.#deadlineMs = options.deadlineMs ?? 1_500
  }

  /** False from an ask that the database did not answer until one that it did. */
  isHealthy = true

  /** Never rejects. */
  check(transactionId: string): Promise<Verdict> {
    if (!isUuid(transactionId)) return Promise.resolve({ state: 'notMine', nowMs: 0 })
    const known = this.#waiting.get(transactionId)
    if (known !== undefined) return known.promise
    let resolve!: (verdict: Verdict) => void
    const promise = new Promise<Verdict>((done) => (resolve = done))
    this.#waiting.set(transactionId, { promise, resolve })
    if (!this.#flushing) {
      this.#flushing = true
      this.#options.clock.soon(() => void this.#flush())
    }
    return promise
  }

  async #flush(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = new Map([...this.#waiting].slice(0, KEYS_PER_BATCH))
      for (const key of batch.keys()) this.#waiting.delete(key)
      const verdicts = await this.#resolveBatch([...batch.keys()].toSorted())
      this.isHealthy = verdicts.size > 0
      for (const [key, { resolve }] of batch) resolve(verdicts.get(key) ?? UNAVAILABLE)
    }
    this.#flushing = false
  }

  async #resolveBatch(keys: string[]): Promise<Map<string, Verdict>> {
    const deadline = this.#options.clock.monotonic() + this.#deadlineMs
    const verdicts = new Map<string, Verdict>()
    const open = [keys]
    let lockTimeoutMs = this.#lockTimeoutMs
    // As far as the time goes: who is left is asked about again.
    for (let part = open.pop(); part !== undefined && this.#options.clock.monotonic() < deadline; part = open.pop()) {
      const together = await this.#withDeadline(part, deadline, lockTimeoutMs)
      if (together !== 'locked') for (const [key, verdict] of together) verdicts.set(key, verdict)
      else if (part.length === 1) verdicts.set(part[0] as string, { state: 'running', nowMs: 0 })
      else {
        // One locked key fails the whole statement. Halving finds it in few; it has been waited for once already.
        lockTimeoutMs = Math.ceil(this.#lockTimeoutMs / 4)
        const middle = part.length >> 1
        open.push(part.slice(middle), part.slice(0, middle))
      }
    }
    return verdicts
  }

  /** At most one backend of this process may hang in a commit that waits for its standby. */
  #withDeadline(keys: string[], deadline: number, lockTimeoutMs: number): Promise<Map<string, Verdict> | 'locked'> {
    if (this.#hung) return Promise.resolve(new Map())
    const { clock } = this.#options
    return new Promise((resolve) => {
      let abandon: (() => void) | undefined
      const timer = clock.setTimer(Math.max(0, deadline - clock.monotonic()), () => {
        this.#hung = true
        const last = clock.setTimer(ABANDON_MS, () => abandon?.())
        work.finally(() => {
          last.cancel()
          this.#hung = false
        })
        resolve(new Map())
      })
      const work = this.#upsert(keys, lockTimeoutMs, (stop) => (abandon = stop)).then((result) => {
        timer.cancel()
        resolve(result)
      })
    })
  }

  async #upsert(
    keys: string[],
    lockTimeoutMs: number,
    onConnected: (stop: () => void) => void,
  ): Promise<Map<string, Verdict> | 'locked'> {
    let client: PoolClient | undefined
    let broken = false
    const noticed: string[] = []
    const onNotice = (notice: { code?: string | undefined }): void => void noticed.push(notice.code ?? '')
    try {
      client = await this.#options.pool.connect()
      const connected = client
      onConnected(() =>
        (connected as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy(),
      )
      // Its query rejects; the event must not end the process.
      client.on('error', ignore)
      client.on('notice', onNotice)
      const results = (await client.query(this.#statement(keys, lockTimeoutMs))) as unknown as QueryResult[]
      if (results.at(-1)?.command !== 'COMMIT' || noticed.length > 0) return new Map()
      const rows = (results.find((result) => result.command === 'INSERT')?.rows ?? []) as Record<string, string>[]
      if (rows.length === 0) return new Map(keys.map((key) => [key, { state: 'notMine', nowMs: 0 }]))
      const nowMs = Number((results.at(-2)?.rows[0] as { now_ms?: string } | undefined)?.now_ms)
      return new Map(rows.map((row) => [String(row['tx_id']), { state: row['state'] as MarkerState, nowMs }]))
    } catch (error) {
      const state = sqlState(error)
      broken =
        client !== undefined &&
        (await client.query('rollback').then(
          () => false,
          () => true,
        ))
      if (state === '55P03') return 'locked'
      // A standby refuses to write (25006), a dying server refuses everything: ask again later.
      this.#options.logger.warn(`check-back of ${keys.length} keys failed: ${messageOf(error)}`)
      return new Map()
    } finally {
      client?.off('notice', onNotice)
      if (!broken) client?.off('error', ignore)
      client?.release(broken)
    }
  }

  #statement(keys: string[], lockTimeoutMs: number): string {
    const { schema, domainId } = this.#options
    return `begin isolation level read committed read write; set local lock_timeout='${lockTimeoutMs}ms';
${SYNCHRONOUS_COMMIT};
insert into ${schema.tx} as t (tx_id, state) select k, 'R' from unnest('{${keys.join(',')}}'::uuid[]) k, ${schema.domain}
where domain_id='${domainId}' and ${AT_HOME} on conflict (tx_id) do update set checks=t.checks+1
returning tx_id, state; select extract(epoch from clock_timestamp())*1000 as now_ms; commit`
  }
}
