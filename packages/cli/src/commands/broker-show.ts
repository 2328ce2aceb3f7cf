import type { BrokerFigure } from '@tandemmq/client'
import { withAdmin } from '../admin.ts'
import type { Command } from '../command.ts'
import { textTable } from '../table.ts'

export const brokerShow: Command = {
  path: ['broker', 'show'],
  summary: 'Show the figures of every broker: traffic, latencies, timers, transactions, store, memory',
  example: 'broker show --json',
  async run(call) {
    const brokers = await withAdmin(call, (admin) => admin.brokerFigures())
    call.report(brokers, (list) =>
      list
        .map(({ brokerName, address, figures }) =>
          [
            `${brokerName} on ${address}`,
            textTable(
              ['FIGURE', 'VALUE', 'MEANING'],
              figures.map((figure) => [figure.name.replace(/^tandemmq_/, ''), valueText(figure), figure.help]),
            ),
          ].join('\n\n'),
        )
        .join('\n\n'),
    )
  },
}

function valueText({ name, value, p50, p99 }: BrokerFigure): string {
  if (p50 !== undefined && p99 !== undefined) {
    return value === 0 ? 'none' : `${value}, p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`
  }
  if (name === 'tandemmq_start_time_seconds') return new Date(value * 1000).toISOString()
  if (/_bytes(_total)?$/.test(name) && value >= 1 << 20) return `${(value / 2 ** 20).toFixed(1)} MiB`
  if (name.endsWith('_ratio')) return `${(value * 100).toFixed(1)} %`
  return name.endsWith('_seconds') ? `${value} s` : value.toLocaleString('en-US')
}

const milliseconds = (seconds: number): string => `<= ${seconds * 1000} ms`
