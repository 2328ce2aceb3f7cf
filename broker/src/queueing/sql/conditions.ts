import type { ByteTable } from '../byte-table.ts'
import { compareText, compareTexts, type SqlNumber } from './numbers.ts'
import type { PropertySlots } from './property-slots.ts'
import { Truth, truthOf } from './truth.ts'

/** A part of a compiled expression that is true, false or unknown for a message. */
export interface Condition {
  test(slots: PropertySlots): Truth
  /** Of evaluating it once; see SQL_COST_MAX. */
  readonly cost: number
  /** Conditions inside one another, itself included. */
  readonly depth: number
}

abstract class Leaf implements Condition {
  readonly cost: number = 1
  readonly depth: number = 1
  abstract test(slots: PropertySlots): Truth
}

export class Always extends Leaf {
  readonly truth: Truth

  constructor(truth: Truth) {
    super()
    this.truth = truth
  }

  test(): Truth {
    return this.truth
  }
}

/** A property where a condition is expected: it holds a text, and only the boolean TRUE is true. */
export class PropertyAsCondition extends Leaf {
  readonly slot: number

  constructor(slot: number) {
    super()
    this.slot = slot
  }

  test(slots: PropertySlots): Truth {
    return slots.has(this.slot) ? Truth.FALSE : Truth.UNKNOWN
  }
}

export class PropertyIsNull extends Leaf {
  readonly slot: number

  constructor(slot: number) {
    super()
    this.slot = slot
  }

  test(slots: PropertySlots): Truth {
    return truthOf(!slots.has(this.slot))
  }
}

export class PropertyEqualsText extends Leaf {
  readonly slot: number
  readonly text: Buffer
  readonly whenAbsent: Truth

  constructor(slot: number, text: Buffer, whenAbsent: Truth) {
    super()
    this.slot = slot
    this.text = text
    this.whenAbsent = whenAbsent
  }

  test(slots: PropertySlots): Truth {
    const start = slots.starts[this.slot] as number
    if (start < 0) return this.whenAbsent
    return truthOf(sameBytes(slots.bytes, start, slots.ends[this.slot] as number, this.text, 0, this.text.length))
  }
}

/** -1, 0 and 1 as bits 0, 1 and 2: which outcomes of a comparison an operator accepts. */
export const Accepts = { '<': 1, '=': 2, '<=': 3, '>': 4, '>=': 6 } as const

/** The same operator with its operands exchanged. */
export const flipped = (accepts: number): number => (accepts & 2) | ((accepts & 1) << 2) | (accepts >> 2)

export const accepted = (accepts: number, outcome: number): Truth =>
  Number.isNaN(outcome) ? Truth.ERROR : truthOf(((accepts >> (Math.sign(outcome) + 1)) & 1) === 1)

export class PropertyAgainstNumber extends Leaf {
  readonly slot: number
  readonly accepts: number
  readonly number: SqlNumber
  readonly whenAbsent: Truth

  constructor(slot: number, accepts: number, number: SqlNumber, whenAbsent: Truth) {
    super()
    this.slot = slot
    this.accepts = accepts
    this.number = number
    this.whenAbsent = whenAbsent
  }

  test(slots: PropertySlots): Truth {
    const start = slots.starts[this.slot] as number
    if (start < 0) return this.whenAbsent
    return accepted(this.accepts, compareText(slots.bytes, start, slots.ends[this.slot] as number, this.number))
  }
}

/** `a < b` of two properties: both are read as doubles. */
export class PropertiesInOrder extends Leaf {
  readonly left: number
  readonly right: number
  readonly accepts: number

  constructor(left: number, right: number, accepts: number) {
    super()
    this.left = left
    this.right = right
    this.accepts = accepts
  }

  test({ bytes, starts, ends }: PropertySlots): Truth {
    const left = starts[this.left] as number
    const right = starts[this.right] as number
    if (left < 0 || right < 0) return Truth.UNKNOWN
    const outcome = compareTexts(bytes, left, ends[this.left] as number, right, ends[this.right] as number)
    return accepted(this.accepts, outcome)
  }
}

/** `a = b` of two properties: equal texts, or both absent (remoting.md 11.16). */
export class PropertiesEqual extends Leaf {
  readonly left: number
  readonly right: number

  constructor(left: number, right: number) {
    super()
    this.left = left
    this.right = right
  }

  test({ bytes, starts, ends }: PropertySlots): Truth {
    const left = starts[this.left] as number
    const right = starts[this.right] as number
    if (left < 0) return right < 0 ? Truth.TRUE : Truth.UNKNOWN
    if (right < 0) return Truth.FALSE
    return truthOf(sameBytes(bytes, left, ends[this.left] as number, bytes, right, ends[this.right] as number))
  }
}

export class PropertyIn extends Leaf {
  readonly slot: number
  readonly texts: ByteTable<true>
  readonly isNegated: boolean

  constructor(slot: number, texts: ByteTable<true>, isNegated: boolean) {
    super()
    this.slot = slot
    this.texts = texts
    this.isNegated = isNegated
  }

  test(slots: PropertySlots): Truth {
    const start = slots.starts[this.slot] as number
    if (start < 0) return Truth.UNKNOWN
    const isIn = this.texts.find(slots.bytes, start, slots.ends[this.slot] as number) !== undefined
    return truthOf(isIn !== this.isNegated)
  }
}

/** A condition asked only whether it can be evaluated; the answer is fixed otherwise. */
export class Unless implements Condition {
  readonly condition: Condition
  readonly truth: Truth
  readonly cost: number
  readonly depth: number

  constructor(condition: Condition, truth: Truth) {
    this.condition = condition
    this.truth = truth
    this.cost = condition.cost + 1
    this.depth = condition.depth + 1
  }

  test(slots: PropertySlots): Truth {
    return this.condition.test(slots) === Truth.ERROR ? Truth.ERROR : this.truth
  }
}

export class IsUnknown implements Condition {
  readonly condition: Condition
  readonly cost: number
  readonly depth: number

  constructor(condition: Condition) {
    this.condition = condition
    this.cost = condition.cost + 1
    this.depth = condition.depth + 1
  }

  test(slots: PropertySlots): Truth {
    const truth = this.condition.test(slots)
    return truth === Truth.ERROR ? truth : truthOf(truth === Truth.UNKNOWN)
  }
}

export class Not implements Condition {
  readonly condition: Condition
  readonly cost: number
  readonly depth: number

  constructor(condition: Condition) {
    this.condition = condition
    this.cost = condition.cost + 1
    this.depth = condition.depth + 1
  }

  test(slots: PropertySlots): Truth {
    const truth = this.condition.test(slots)
    return truth === Truth.TRUE ? Truth.FALSE : truth === Truth.FALSE ? Truth.TRUE : truth
  }
}

/** AND (decided by FALSE) or OR (decided by TRUE) of two or more conditions, from left to right. */
export class Several implements Condition {
  readonly conditions: readonly Condition[]
  readonly decides: Truth
  readonly cost: number
  readonly depth: number

  constructor(conditions: readonly Condition[], decides: typeof Truth.TRUE | typeof Truth.FALSE) {
    this.conditions = conditions
    this.decides = decides
    this.cost = conditions.reduce((sum, { cost }) => sum + cost, 1)
    this.depth = conditions.reduce((deepest, { depth }) => Math.max(deepest, depth), 0) + 1
  }

  test(slots: PropertySlots): Truth {
    let isUnknown = false
    for (let index = 0; index < this.conditions.length; index++) {
      const truth = (this.conditions[index] as Condition).test(slots)
      if (truth === this.decides || truth === Truth.ERROR) return truth
      if (truth === Truth.UNKNOWN) isUnknown = true
    }
    if (isUnknown) return Truth.UNKNOWN
    return this.decides === Truth.TRUE ? Truth.FALSE : Truth.TRUE
  }
}

export function sameBytes(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): boolean {
  const length = aEnd - aStart
  if (length !== bEnd - bStart) return false
  for (let index = 0; index < length; index++) if (a[aStart + index] !== b[bStart + index]) return false
  return true
}
