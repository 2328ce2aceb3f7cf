import { startNameServer } from '@tandemmq/broker'
import type { Command } from '../command.ts'
import { aborted } from '../io.ts'

export const nameserver: Command = {
  path: ['nameserver'],
  summary: 'Run a name server alone until SIGTERM or SIGINT; brokers join with --set nameServers=HOST:PORT',
  options: {
    host: { value: 'ADDRESS', help: 'address to listen on, default 127.0.0.1' },
    port: { value: 'PORT', help: 'default 9876; 0 takes any free one' },
    'data-dir': { value: 'DIR', help: 'keeps KV settings over a restart; without it they live in memory' },
  },
  example: 'nameserver --host 0.0.0.0 --port 9876',
  async run({ io, text, integer }) {
    const host = text('host')
    const port = integer('port')
    const dataDir = text('data-dir')
    const { stop } = io
    const nameServer = await startNameServer({
      log: io.err,
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
      ...(dataDir === undefined ? {} : { dataDir }),
    })
    try {
      io.out(`TandemMQ name server ready on ${nameServer.address}`)
      await aborted(stop)
    } finally {
      await nameServer.close()
    }
  },
}
