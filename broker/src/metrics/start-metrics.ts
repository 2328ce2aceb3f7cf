import type { Clock, Network } from '@tandemmq/remoting'
import { LoopDelay } from './loop-delay.ts'
import { Metrics } from './metrics.ts'
import { MetricsServer } from './metrics-server.ts'
import type { MetricSources } from './sources.ts'

/** Metrics that are served. */
export interface RunningMetrics {
  readonly url: string
  close(): Promise<void>
}

/**
 * @returns undefined when `metricsPort` is negative
 * @throws {TandemError} ADDRESS_IN_USE, CONNECT_FAILED
 */
export async function startMetrics(
  options: { clock: Clock; network: Network; metricsHost: string; metricsPort: number },
  sources: MetricSources,
): Promise<RunningMetrics | undefined> {
  const { clock, network, metricsHost, metricsPort } = options
  if (metricsPort < 0) return undefined
  const loop = new LoopDelay(clock)
  const metrics = new Metrics(sources, loop.latency)
  const server = new MetricsServer({ clock, network, metrics })
  await server.start(metricsHost, metricsPort)
  loop.start()
  return {
    url: server.url ?? '',
    close: () => {
      loop.stop()
      return server.close()
    },
  }
}
