/**
 * Stops all workers of a process at once. `advance` goes from open (everybody runs) to closed (nobody begins, says `idle` when
 * nobody runs) to hold (everybody begins and stands still inside the transaction, says `held`) to open again.
 */
export class Gate {
  #workers
  #say
  #state = 'open'
  #arrived = 0
  #wake = []

  constructor(workers, say) {
    this.#workers = workers
    this.#say = say
  }

  advance() {
    this.#state = { open: 'closed', closed: 'hold', hold: 'open' }[this.#state]
    this.#arrived = 0
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Before a transaction. */
  before() {
    return this.#state === 'closed' ? this.#wait('idle') : undefined
  }

  /** Inside a transaction, its messages on their way. */
  inside() {
    return this.#state === 'hold' ? this.#wait('held') : undefined
  }

  #wait(name) {
    if (++this.#arrived === this.#workers) this.#say(name)
    return new Promise((resolve) => this.#wake.push(resolve))
  }
}
