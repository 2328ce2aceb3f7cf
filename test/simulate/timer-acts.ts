import type { Producer, SendReceipt } from '@tandemmq/client'
import type { World } from './world.ts'

interface Waiting {
  readonly world: World
  readonly name: string
  readonly producer: Producer
  readonly id: string
  readonly receipt: SendReceipt
}

/** Takes a delayed message back. */
export async function cancel({ world, name, producer, id, receipt }: Waiting): Promise<void> {
  if (receipt.recallHandle === undefined) return
  world.note(name, { event: 'cancel.start', id })
  try {
    const outcome = await producer.cancel(receipt)
    world.note(name, { event: 'cancel.ok', id, outcome })
  } catch (error) {
    world.tell(name, `cancel of ${id} failed: ${String(error)}`)
  }
}

/** Moves a delayed message to another time. */
export async function reschedule({ world, name, producer, id, receipt }: Waiting, delayMs: number): Promise<void> {
  if (receipt.recallHandle === undefined) return
  world.note(name, { event: 'reschedule.start', id, delayMs })
  try {
    const result = await producer.reschedule(receipt, { delayMs })
    const outcome = typeof result === 'string' ? result : 'rescheduled'
    world.note(name, { event: 'reschedule.ok', id, outcome })
  } catch (error) {
    world.tell(name, `reschedule of ${id} failed: ${String(error)}`)
  }
}
