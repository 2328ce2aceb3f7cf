import type { Condition } from './conditions.ts'
import type { Operand } from './operands.ts'
import type { PropertySlots } from './property-slots.ts'
import { Truth, truthOf } from './truth.ts'

const TEXT = 4
const NUMBER = 5
type Value = Truth | typeof TEXT | typeof NUMBER

/** `=` with a condition, or the negative of what is no number, on one side at least. UNKNOWN is the null of both kinds. */
export class MixedEqual implements Condition {
  readonly left: Operand
  readonly right: Operand
  readonly cost: number
  readonly depth: number

  constructor(left: Operand, right: Operand) {
    this.left = left
    this.right = right
    this.cost = 1 + costOf(left) + costOf(right)
    this.depth = 1 + Math.max(depthOf(left), depthOf(right))
  }

  test(slots: PropertySlots): Truth {
    const left = valueOf(this.left, slots)
    if (left === Truth.ERROR) return left
    const right = valueOf(this.right, slots)
    if (right === Truth.ERROR) return right
    if (left === Truth.UNKNOWN) return right === Truth.UNKNOWN ? Truth.TRUE : Truth.UNKNOWN
    if (right === Truth.UNKNOWN) return Truth.FALSE
    if (left === TEXT) return truthOf(saysTrue(this.left, slots) === (right === Truth.TRUE))
    if (left === NUMBER || right === NUMBER) return Truth.FALSE
    // A text is read as a boolean on the left side only; on the right the stock evaluator fails.
    return right === TEXT ? Truth.ERROR : truthOf(left === right)
  }
}

function valueOf(operand: Operand, slots: PropertySlots): Value {
  switch (operand.kind) {
    case 'property':
      return slots.has(operand.slot) ? TEXT : Truth.UNKNOWN
    case 'text':
      return TEXT
    case 'number':
      return NUMBER
    case 'condition':
      return operand.condition.test(slots)
    default:
      return operand.condition?.test(slots) === Truth.ERROR ? Truth.ERROR : Truth.UNKNOWN
  }
}

/** Boolean.valueOf: the four letters in any case. */
function saysTrue(operand: Operand, slots: PropertySlots): boolean {
  if (operand.kind === 'text') return isTrue(operand.bytes, 0, operand.bytes.length)
  if (operand.kind !== 'property') return false
  return isTrue(slots.bytes, slots.starts[operand.slot] as number, slots.ends[operand.slot] as number)
}

function isTrue(bytes: Buffer, start: number, end: number): boolean {
  return end - start === 4 && bytes.toString('latin1', start, end).toLowerCase() === 'true'
}

const conditionOf = (operand: Operand): Condition | undefined =>
  operand.kind === 'condition' || operand.kind === 'nothing' ? operand.condition : undefined
const costOf = (operand: Operand): number => conditionOf(operand)?.cost ?? 0
const depthOf = (operand: Operand): number => conditionOf(operand)?.depth ?? 0
