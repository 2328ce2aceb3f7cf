import type { SendReceipt, TandemError } from '@tandemmq/client'
import type { World } from './world.ts'

/** Writes down what becomes of a send. */
export async function settled(
  world: World,
  name: string,
  id: string,
  sending: Promise<SendReceipt>,
): Promise<SendReceipt | undefined> {
  try {
    const receipt = await sending
    const { queueId, queueOffset, duplicate } = receipt
    world.note(name, { event: 'send.ok', id, queueId, offset: Number(queueOffset), duplicate })
    return receipt
  } catch (error) {
    // Whatever the last attempt says, an earlier one may have been stored.
    world.note(name, { event: 'send.unknown', id, code: codeOf(error) })
    return undefined
  }
}

export function codeOf(error: unknown): string {
  return (error as TandemError).code ?? 'none'
}
