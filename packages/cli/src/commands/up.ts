import { parseSetting, startBroker } from '@tandemmq/broker'
import type { BrokerOptions } from '@tandemmq/broker'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { aborted } from '../io.ts'

export const up: Command = {
  path: ['up'],
  summary: 'Run a broker in this terminal until SIGTERM or SIGINT',
  options: {
    host: { value: 'ADDRESS', help: 'address to listen on, default 127.0.0.1' },
    port: { value: 'PORT', help: 'default 9876; 0 takes any free one' },
    'data-dir': { value: 'DIR', help: 'directory of this broker alone, default ./tandem-data' },
    set: { value: 'NAME=VALUE', help: 'any broker option by its name', multiple: true },
  },
  example: 'up --data-dir ./data --set flush=async --set retentionHours=24',
  async run({ io, text, texts }) {
    const settings: Partial<BrokerOptions> = {}
    for (const [option, name] of [
      ['host', 'host'],
      ['port', 'port'],
      ['data-dir', 'dataDir'],
    ] as const) {
      const value = text(option)
      if (value !== undefined) Object.assign(settings, parseSetting(name, value))
    }
    for (const setting of texts('set')) Object.assign(settings, settingOf(setting))
    const { stop } = io
    const broker = await startBroker({ dataDir: './tandem-data', log: io.err, ...settings })
    try {
      io.out(`TandemMQ ready on ${broker.address}`)
      if (broker.metricsUrl !== undefined) io.out(`Metrics on ${broker.metricsUrl}`)
      await aborted(stop)
    } finally {
      await broker.close()
    }
  },
}

function settingOf(setting: string): Partial<BrokerOptions> {
  const equals = setting.indexOf('=')
  if (equals <= 0) throw new UsageError(`--set takes NAME=VALUE, not "${setting}"`)
  return parseSetting(setting.slice(0, equals), setting.slice(equals + 1))
}
