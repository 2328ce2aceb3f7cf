import { RequestCode } from '@tandemmq/protocol'
import type { Clock } from '@tandemmq/remoting'
import { BrokerError } from '../broker-error.ts'
import type { LiveSettings } from '../live-settings.ts'
import type { Handler } from './handler.ts'
import { parseProperties } from './properties-text.ts'
import { answer, answerAfter } from './request-body.ts'

const NAMES_MAX = 100

export interface ConfigHandlerOptions {
  clock: Pick<Clock, 'now'>
  settings: Pick<LiveSettings, 'change' | 'version'>
  /** Settings in force, by option name. */
  config: () => Record<string, string | number | boolean>
}

/** Settings as lines of `name=value`: ask 26 and, one process being both, 319; change 25. */
export function configHandlers({ clock, settings, config }: ConfigHandlerOptions): Map<number, Handler> {
  const text = (): string =>
    Object.entries(config())
      .map(([name, value]) => `${name}=${value}\n`)
      .toSorted()
      .join('')

  const ask: Handler = (connection, header) => {
    answer(connection, header, { extFields: { version: JSON.stringify(settings.version) }, body: text() })
  }

  const askNameServer: Handler = (connection, header) => answer(connection, header, { body: text() })

  const change: Handler = (connection, header) => {
    const given = parseProperties(header.bytes.toString('utf8', header.bodyStart, header.bodyEnd))
    if (given.size === 0 || given.size > NAMES_MAX) {
      const detail = `the body has 1 to ${NAMES_MAX} lines name=value, not ${given.size}`
      throw new BrokerError('INVALID_PARAMETER', detail)
    }
    answerAfter(connection, header, settings.change(given, clock.now()))
  }

  return new Map([
    [RequestCode.GET_BROKER_CONFIG, ask],
    [RequestCode.GET_NAMESRV_CONFIG, askNameServer],
    [RequestCode.UPDATE_BROKER_CONFIG, change],
  ])
}
