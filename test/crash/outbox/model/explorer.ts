/** One thing that can happen. `next` gives the states it may lead to, none when it cannot happen now. */
export interface Step<State, Design> {
  readonly name: string
  /** File and a text in it: the place in the product (or in its surroundings) whose doing this is. */
  readonly source: readonly [file: string, text: string]
  /** Something breaks. A state must find its way to a good end without such help. */
  readonly isFault?: true
  readonly next: (state: State, design: Design) => State | readonly State[] | undefined
}

/** A protocol to be explored: everything that can happen, and what must be true. */
export interface Model<State, Design> {
  readonly initial: State
  readonly steps: readonly Step<State, Design>[]
  readonly key: (state: State) => string
  /** Nothing is left to do and everything is as it must be. */
  readonly isGood: (state: State, design: Design) => boolean
  /** What is wrong with a state from which no good end can be reached any more. */
  readonly nameBad: (state: State, design: Design) => string
}

export interface Violation<State> {
  readonly kind: string
  /** Shortest way there: the steps from the initial state. */
  readonly trace: readonly string[]
  readonly state: State
}

export interface Exploration<State> {
  readonly states: number
  readonly transitions: number
  readonly goodEnds: number
  /** Names of steps that never happened. */
  readonly unused: readonly string[]
  /** The first one of each kind. */
  readonly violations: readonly Violation<State>[]
}

/** Numbers in a list that grows. */
class Numbers {
  #cells = new Int32Array(1 << 14)
  length = 0

  push(number: number): void {
    if (this.length === this.#cells.length) {
      const larger = new Int32Array(2 * this.length)
      larger.set(this.#cells)
      this.#cells = larger
    }
    this.#cells[this.length++] = number
  }

  at(index: number): number {
    return this.#cells[index] as number
  }
}

/**
 * Breadth first through every interleaving: each state once, so the way back along `cameFrom` is a shortest one.
 * @throws {Error} above `statesMax` states: a bound of the model is missing
 */
export function explore<State extends object, Design>(
  model: Model<State, Design>,
  design: Design,
  statesMax = 3_000_000,
): Exploration<State> {
  const { steps, key } = model
  const numbers = new Map<string, number>([[key(model.initial), 0]])
  const states: State[] = [model.initial]
  const cameFrom = new Numbers()
  const cameBy = new Numbers()
  cameFrom.push(-1)
  cameBy.push(-1)
  const edges = { from: new Numbers(), to: new Numbers() }
  const used = new Set<number>()
  let transitions = 0
  const reach = (from: number, by: number, state: State): void => {
    transitions++
    used.add(by)
    const text = key(state)
    let to = numbers.get(text)
    if (to === undefined) {
      to = states.length
      if (to >= statesMax) throw new Error(`more than ${statesMax} states`)
      numbers.set(text, to)
      states.push(state)
      cameFrom.push(from)
      cameBy.push(by)
    }
    if (to === from || steps[by]?.isFault === true) return
    edges.from.push(from)
    edges.to.push(to)
  }
  for (let from = 0; from < states.length; from++) {
    const state = states[from] as State
    for (let by = 0; by < steps.length; by++) {
      const next = steps[by]?.next(state, design)
      if (next === undefined) continue
      if (Array.isArray(next)) for (const one of next as readonly State[]) reach(from, by, one)
      else reach(from, by, next as State)
    }
  }
  const good = states.map((state) => model.isGood(state, design))
  const saved = savedBy(good, edges)
  const trace = (at: number): string[] => {
    const names: string[] = []
    for (let n = at; cameFrom.at(n) >= 0; n = cameFrom.at(n)) names.push(steps[cameBy.at(n)]?.name ?? '')
    return names.toReversed()
  }
  const violations = new Map<string, Violation<State>>()
  for (const [at, state] of states.entries()) {
    if (saved[at] === 1) continue
    const kind = model.nameBad(state, design)
    if (!violations.has(kind)) violations.set(kind, { kind, trace: trace(at), state })
  }
  return {
    states: states.length,
    transitions,
    goodEnds: good.filter(Boolean).length,
    unused: steps.filter((_, by) => !used.has(by)).map(({ name }) => name),
    violations: [...violations.values()],
  }
}

/** 1 for every state from which a good one can be reached: backwards from those, along all edges. */
function savedBy(good: readonly boolean[], { from, to }: { from: Numbers; to: Numbers }): Uint8Array {
  const first = new Int32Array(good.length).fill(-1)
  const sibling = new Int32Array(from.length)
  for (let edge = 0; edge < from.length; edge++) {
    sibling[edge] = first[to.at(edge)] as number
    first[to.at(edge)] = edge
  }
  const saved = new Uint8Array(good.length)
  const open: number[] = []
  const save = (state: number): void => {
    if (saved[state] === 1) return
    saved[state] = 1
    open.push(state)
  }
  for (const [state, isGood] of good.entries()) if (isGood) save(state)
  for (let state = open.pop(); state !== undefined; state = open.pop())
    for (let edge = first[state] as number; edge >= 0; edge = sibling[edge] as number) save(from.at(edge))
  return saved
}
