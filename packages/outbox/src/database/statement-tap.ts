import type { ClientBase, QueryResult } from 'pg'
import type { Control } from './control-statement.ts'
import { controlOf } from './control-statement.ts'
import type { QueryClient, Results } from './database.ts'

const durability = /synchronous_commit/i

/** @returns what the one who issued the statement gets to see of it */
export type OnControl = (control: Control, text: string) => Promise<QueryResult>

type Callback = (error: unknown, result?: QueryResult) => void
type Query = (config: unknown, values?: unknown, callback?: Callback) => unknown
type CompletionSource = {
  on(event: 'commandComplete', listener: (message: { text?: string }) => void): unknown
  off(event: 'commandComplete', listener: (message: { text?: string }) => void): unknown
}
type Queried = Omit<ClientBase, 'query'> & { query: Query }

/**
 * Stands between a connection of pg and whoever uses it (the application, knex, an ORM): BEGIN, COMMIT, ROLLBACK and
 * savepoints go through `onControl`, in whatever library they originate; everything else passes untouched.
 */
export class StatementTap implements QueryClient {
  readonly client: ClientBase
  readonly #onControl: OnControl
  readonly #query: Query
  readonly #wasOwn: boolean
  /** Where pg tells of every command that is complete, whoever issued it; libpq's bindings have none. */
  readonly #completions: CompletionSource | undefined
  /**
   * Commands of this connection after which there is no transaction, or another one: COMMIT, ROLLBACK, PREPARE TRANSACTION, by
   * their tags on the wire. ROLLBACK TO has the tag of ROLLBACK and is taken off where it is issued.
   */
  ends = 0
  /** A statement has spoken of synchronous_commit. */
  setsDurability = false
  #tapped: Query | undefined

  constructor(client: ClientBase, onControl: OnControl) {
    this.client = client
    this.#onControl = onControl
    const queried = client as unknown as Queried
    this.#wasOwn = Object.hasOwn(queried, 'query')
    this.#query = queried.query
    this.#tapped = (config, values, callback) => this.#intercept(config, values, callback)
    queried.query = this.#tapped
    const { connection } = client as unknown as { connection?: CompletionSource }
    if (typeof connection?.on === 'function') this.#completions = connection
    this.#completions?.on('commandComplete', this.#onComplete)
  }

  readonly #onComplete = ({ text }: { text?: string }): void => {
    if (text === 'COMMIT' || text === 'ROLLBACK' || text === 'PREPARE TRANSACTION') this.ends++
  }

  /** {@link ends} can be relied on. */
  get seesEnds(): boolean {
    return this.#completions !== undefined
  }

  #intercept(config: unknown, values?: unknown, callback?: Callback): unknown {
    const text = typeof config === 'string' ? config : (config as { text?: unknown } | null)?.text
    if (typeof text === 'string' && durability.test(text)) this.setsDurability = true
    const isCursor = typeof (config as { submit?: unknown } | null)?.submit === 'function'
    const control = typeof text === 'string' && !isCursor ? controlOf(text) : undefined
    if (control === undefined) return this.#query.call(this.client, config, values, callback)
    const answer = this.#onControl(control, text as string)
    const inConfig = (config as { callback?: Callback }).callback
    const done = typeof values === 'function' ? (values as Callback) : (callback ?? inConfig)
    if (done === undefined) return answer
    // A turn of its own: what a callback throws is not ours to catch.
    answer.then(
      (result) => process.nextTick(done, null, result),
      (error: unknown) => process.nextTick(done, error),
    )
    return undefined
  }

  /** The last answer came from outside of any transaction; older versions of pg do not tell. */
  get isOutside(): boolean {
    return (this.client as unknown as ClientState)._txStatus === 'I'
  }

  /** Past the tap. */
  query(text: string, values?: unknown[]): Promise<Results> {
    return this.#query.call(this.client, text, values) as Promise<Results>
  }

  /** Several statements in one round trip. @returns a result for each */
  send(text: string): Promise<QueryResult[]> {
    return this.query(text).then((results) => (Array.isArray(results) ? results : [results]))
  }

  /** The statement alone. */
  async pass(text: string): Promise<QueryResult> {
    return (await this.query(text)) as QueryResult
  }

  detach(): void {
    const queried = this.client as unknown as Queried & { query?: Query }
    this.#completions?.off('commandComplete', this.#onComplete)
    if (this.#tapped === undefined || queried.query !== this.#tapped) return
    this.#tapped = undefined
    if (this.#wasOwn) queried.query = this.#query
    else Reflect.deleteProperty(queried, 'query')
  }
}

/** `first` and `second` in one text, whether or not `first` ends with a semicolon. */
export function joined(first: string, second: string): string {
  return second === '' ? first : `${first.replace(/[\s;]+$/, '')}; ${second}`
}

interface ClientState {
  readonly _txStatus?: string | null
  readonly readyForQuery?: boolean
}

/** No transaction, and no statement on its way that could begin one. */
export function isOutside(client: ClientBase): boolean {
  const { _txStatus: status, readyForQuery } = client as unknown as ClientState
  return status === 'I' && readyForQuery !== false
}
