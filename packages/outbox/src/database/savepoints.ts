interface Savepoint {
  readonly name: string
  messages: (() => void)[]
  /** ROLLBACK TO keeps the savepoint: what follows belongs to it again. */
  undone: boolean
}

/** How knex names the savepoint of a nested transaction. */
const NESTED = /^trx\d+$/

/**
 * The savepoints of a transaction as they stand on the wire. A message belongs to the innermost one, as a statement would, and
 * waits until that is released: rolled back, it takes its messages with it before anybody has heard of them, and needs no
 * marker of its own.
 */
export class Savepoints {
  readonly #stack: Savepoint[] = []

  /** True while a nested transaction of knex has neither been committed nor rolled back. */
  get hasOpenNested(): boolean {
    return this.#stack.some(({ name, undone }) => !undone && NESTED.test(name))
  }

  /** Runs `send` now outside of savepoints, or when the last one around it is released. */
  run(send: () => void): void {
    const innermost = this.#stack.at(-1)
    if (innermost === undefined) send()
    else innermost.messages.push(send)
  }

  set(name: string): void {
    this.#stack.push({ name, messages: [], undone: false })
  }

  /** Postgres refused to set it. */
  unset(name: string): void {
    const at = this.#find(name)
    if (at !== -1) this.#merge(at)
  }

  /** Postgres has released it and those inside it. A name older than our knowledge changes nothing for us. */
  release(name: string): void {
    const at = this.#find(name)
    this.#merge(at === -1 ? 0 : at)
  }

  /** @returns false for a savepoint set before anybody watched */
  rollBackTo(name: string): boolean {
    const at = this.#find(name)
    const target = this.#stack[at]
    if (target === undefined) return false
    this.#stack.length = at + 1
    target.messages = []
    target.undone = true
    return true
  }

  /** COMMIT releases all of them. */
  releaseAll(): void {
    this.#merge(0)
  }

  #find(name: string): number {
    return this.#stack.findLastIndex((savepoint) => savepoint.name === name)
  }

  #merge(from: number): void {
    const messages = this.#stack.splice(from).flatMap((savepoint) => savepoint.messages)
    const parent = this.#stack.at(-1)
    if (parent === undefined) for (const send of messages) send()
    else parent.messages.push(...messages)
  }
}
