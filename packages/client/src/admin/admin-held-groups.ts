import { parseLenientJson, TandemRequestCode } from '@tandemmq/protocol'
import type { ClientCore } from '../cluster/client-core.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { Brokers } from './admin-cluster.ts'
import { type OpenTransaction, transactionOf } from './admin-transactions.ts'

/** Messages of one `orderBy` that wait for an undecided transaction before them. */
export interface HeldGroup {
  readonly brokerName: string
  readonly topic: string
  readonly orderBy: string
  /** Messages that wait. */
  readonly held: number
  readonly heldBytes: number
  /** For how long there have been such, ms. */
  readonly heldForMs: number
  /** The half message they wait for; undefined while they are being released. */
  readonly waitsFor: OpenTransaction | undefined
}

/** Longest waiting first per broker. */
export async function heldGroups(core: ClientCore, brokers: Brokers, limit: number): Promise<HeldGroup[]> {
  const init = { code: TandemRequestCode.LIST_HELD_GROUPS, extFields: { limit } }
  const found: HeldGroup[] = []
  for (const [brokerName, address] of brokers) {
    const answer = await core.ask(address, init, 'list held groups')
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const entry of asArray(body['groups'])) {
      const group = asObject(entry)
      const waitsFor = group['waitsFor']
      found.push({
        brokerName,
        topic: asText(group['topic']),
        orderBy: asText(group['key']),
        held: asNumber(group['held']),
        heldBytes: asNumber(group['heldBytes']),
        heldForMs: asNumber(group['heldForMs']),
        waitsFor: waitsFor === undefined ? undefined : transactionOf(asObject(waitsFor), brokerName),
      })
    }
  }
  return found.slice(0, limit)
}
