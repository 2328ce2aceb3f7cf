import { parseLenientJson, TandemRequestCode } from '@tandemmq/protocol'
import { ClientError } from '../client-error.ts'
import type { ClientCore } from '../cluster/client-core.ts'
import type { JsonObject } from '../json.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { Brokers } from './admin-cluster.ts'

/** A half message nobody ended yet. Fields as the broker tells them; times in ms. */
export interface OpenTransaction {
  readonly brokerName: string
  readonly transactionId: string
  readonly messageId: string
  readonly group: string
  readonly topic: string
  readonly keys: string
  /** Position in the broker's log. */
  readonly physicalOffset: bigint
  readonly storedAt: Date
  readonly ageMs: number
  /** Property TANDEM_DOMAIN: only who announced it is asked. */
  readonly domain: string | undefined
  /** Check-backs that reached a producer. */
  readonly asked: number
  /** Check-backs that were answered. */
  readonly attempts: number
  readonly state: string
  /** Messages of its `orderBy` that wait for it; 0 while it waits for an earlier one itself. */
  readonly holdsBack: number
}

/** A half message that an operator decided by hand. */
export interface ResolvedTransaction {
  readonly brokerName: string
  readonly at: Date
  readonly decision: string
  /** What the half message was or became: `committed`, `rolledBack`, `pending`, `unknown`. */
  readonly outcome: string
  /** Address the request came from. */
  readonly client: string
  /** Who, and why, as they say; empty when they did not. */
  readonly by: string
  readonly reason: string
  readonly physicalOffset: bigint
  readonly transactionId: string
  readonly messageId: string
  readonly group: string
  readonly topic: string
  readonly keys: string
  readonly domain: string | undefined
}

const TRANSACTIONS_MAX = 10_000

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

export function transactionOf(entry: JsonObject, brokerName: string): OpenTransaction {
  return {
    brokerName,
    transactionId: asText(entry['transactionId']),
    messageId: asText(entry['messageId']),
    group: asText(entry['group']),
    topic: asText(entry['topic']),
    keys: asText(entry['keys']),
    physicalOffset: BigInt(asNumber(entry['physicalOffset'])),
    storedAt: new Date(asNumber(entry['storedAt'])),
    ageMs: asNumber(entry['ageMs']),
    domain: entry['domain'] === undefined ? undefined : asText(entry['domain']),
    asked: asNumber(entry['asked']),
    attempts: asNumber(entry['attempts']),
    state: asText(entry['state']),
    holdsBack: asNumber(entry['holdsBack']),
  }
}

function resolvedOf(entry: JsonObject, brokerName: string): ResolvedTransaction {
  const text = (name: string): string => asText(entry[name])
  return {
    brokerName,
    at: new Date(asNumber(entry['at'])),
    ...{ decision: text('decision'), outcome: text('outcome') },
    ...{ client: text('client'), by: text('by'), reason: text('reason') },
    physicalOffset: BigInt(asNumber(entry['physicalOffset'])),
    ...{ transactionId: text('transactionId'), messageId: text('messageId') },
    ...{ group: text('group'), topic: text('topic'), keys: text('keys') },
    domain: entry['domain'] === undefined ? undefined : text('domain'),
  }
}
