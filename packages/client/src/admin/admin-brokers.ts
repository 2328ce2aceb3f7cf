import { parseLenientJson, TandemRequestCode } from '@tandemmq/protocol'
import type { ClientCore } from '../cluster/client-core.ts'
import { asArray, asNumber, asObject, asText } from '../json.ts'
import type { Brokers } from './admin-cluster.ts'

/** One number or duration of a broker. */
export interface BrokerFigure {
  /** As in the metrics, e.g. `tandemmq_messages_received_total`. */
  readonly name: string
  readonly help: string
  /** Of a duration: how many were measured. */
  readonly value: number
  /** Of a duration, seconds: upper bounds of half and of 99 of 100 of all since the broker started. */
  readonly p50?: number
  readonly p99?: number
}

export interface BrokerFigures {
  readonly brokerName: string
  readonly address: string
  readonly figures: readonly BrokerFigure[]
}

export async function brokerFigures(core: ClientCore, brokers: Brokers): Promise<BrokerFigures[]> {
  const found: BrokerFigures[] = []
  for (const [brokerName, address] of brokers) {
    const answer = await core.ask(address, { code: TandemRequestCode.BROKER_STATS }, `figures of ${brokerName}`)
    const body = asObject(parseLenientJson(answer.body.toString('utf8')))
    const figures = asArray(body['figures']).map((entry) => {
      const { name, help, value, p50, p99 } = asObject(entry)
      const plain = { name: asText(name), help: asText(help), value: asNumber(value) }
      return p99 === undefined ? plain : { ...plain, p50: asNumber(p50), p99: asNumber(p99) }
    })
    found.push({ brokerName, address, figures })
  }
  return found
}
