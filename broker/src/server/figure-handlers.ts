import { Field, RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import type { Figure } from '../metrics/index.ts'
import { BrokerError } from '../broker-error.ts'
import type { Statistics } from '../statistics/index.ts'
import type { Handler } from './handler.ts'
import { answer } from './request-body.ts'

export interface FigureHandlerOptions {
  statistics: Pick<Statistics, 'view' | 'names'>
  /** Figures for `brokerStatus` and `clusterList`, see {@link runtimeFigures}. */
  runtime: () => Record<string, string | number | boolean>
  /** What the metrics say of the broker as a whole. */
  figures?: () => readonly Figure[]
}

/** What the broker did: our figures 9105, RocketMQ's 28, and one item of traffic over the last minute, hour and day 315. */
export function figureHandlers({ statistics, runtime, figures: own }: FigureHandlerOptions): Map<number, Handler> {
  const figures: Handler = (connection, header) => {
    const table = Object.fromEntries(Object.entries(runtime()).map(([name, value]) => [name, String(value)]))
    answer(connection, header, { body: JSON.stringify({ table }) })
  }

  const view: Handler = (connection, header) => {
    const name = header.requireText(Field.statsName)
    const key = header.requireText(Field.statsKey)
    if (!statistics.names.includes(name)) {
      throw new BrokerError('SYSTEM_ERROR', `The stats <${name}> not exist; counted: ${statistics.names.join(', ')}`)
    }
    const data = statistics.view(name, key)
    if (data === undefined) throw new BrokerError('SYSTEM_ERROR', `The stats <${name}> of <${key}> had no traffic yet`)
    answer(connection, header, { body: JSON.stringify(data) })
  }

  const ownFigures: Handler = (connection, header) => {
    answer(connection, header, { body: JSON.stringify({ figures: own?.() ?? [] }) })
  }

  return new Map<number, Handler>([
    [TandemRequestCode.BROKER_STATS, ownFigures],
    [RequestCode.GET_BROKER_RUNTIME_INFO, figures],
    [RequestCode.VIEW_BROKER_STATS_DATA, view],
  ])
}
