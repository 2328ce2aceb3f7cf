import { parseLenientJson, TandemRequestCode } from '@tandemmq/protocol'
import type { OpenTransaction, ResolvedTransaction } from './admin-views.ts'
import { resolvedOf, transactionOf } from './admin-views.ts'
import type { ClientCore } from './client-core.ts'
import { ClientError } from './client-error.ts'
import { asArray, asObject, asText } from './json.ts'

const TRANSACTIONS_MAX = 10_000

/** Addresses of the brokers by name. */
export type Brokers = ReadonlyMap<string, string>

export async function openTransactions(core: ClientCore, brokers: Brokers, limit: number): Promise<OpenTransaction[]> {
  const init = { code: TandemRequestCode.LIST_TRANSACTIONS, extFields: { limit } }
  const open: OpenTransaction[] = []
  for (const [brokerName, address] of brokers) {
    const answer = await core.ask(address, init, 'list transactions')
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const entry of asArray(body['transactions'])) open.push(transactionOf(asObject(entry), brokerName))
  }
  return open.slice(0, limit)
}

/** What operators decided by hand, newest first. */
export async function resolvedTransactions(
  core: ClientCore,
  brokers: Brokers,
  limit: number,
): Promise<ResolvedTransaction[]> {
  const init = { code: TandemRequestCode.LIST_RESOLVED_TRANSACTIONS, extFields: { limit } }
  const resolved: ResolvedTransaction[] = []
  for (const [brokerName, address] of brokers) {
    const answer = await core.ask(address, init, 'list resolved transactions')
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    for (const entry of asArray(body['resolved'])) resolved.push(resolvedOf(asObject(entry), brokerName))
  }
  return resolved.toSorted((one, other) => other.at.getTime() - one.at.getTime()).slice(0, limit)
}

/** For the broker's record of the decision. */
export interface ResolveOptions {
  /** Who decides; at most 200 characters. */
  readonly by?: string | undefined
  /** Why; at most 1,000 characters. */
  readonly reason?: string | undefined
}

/** @returns the outcome: `committed`, `rolledBack`, or `unknown` when there is no such half message */
export async function resolveTransaction(
  core: ClientCore,
  brokers: Brokers,
  physicalOffset: bigint,
  decision: 'commit' | 'rollback',
  brokerName: string | undefined,
  who: ResolveOptions,
): Promise<string> {
  const name = brokerName ?? (await holderOf(core, brokers, physicalOffset))
  if (name === undefined) return 'unknown'
  const address = brokers.get(name)
  if (address === undefined) throw new ClientError('ROUTE_NOT_FOUND', `the name servers know no broker ${name}`)
  const body = Buffer.from(JSON.stringify({ physicalOffset: Number(physicalOffset), decision, ...who }))
  const init = { code: TandemRequestCode.RESOLVE_TRANSACTION, body }
  const answer = await core.ask(address, init, 'resolve a transaction')
  return asText(asObject(parseLenientJson(answer.body.toString('utf8')))['outcome'])
}

/** Positions are those of one broker's log: the same number means different messages on two. */
async function holderOf(core: ClientCore, brokers: Brokers, physicalOffset: bigint): Promise<string | undefined> {
  const [only, ...others] = brokers.keys()
  if (others.length === 0) return only
  const open = await openTransactions(core, brokers, TRANSACTIONS_MAX)
  const holders = open.filter((one) => one.physicalOffset === physicalOffset).map((one) => one.brokerName)
  if (holders.length <= 1) return holders[0]
  const which = holders.join(' and ')
  throw new ClientError('INVALID_PARAMETER', `${which} both have a half message at ${physicalOffset}: name the broker`)
}
