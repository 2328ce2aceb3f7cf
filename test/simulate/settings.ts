import type { BrokerOptions } from '@tandemmq/broker'
import type { SeededRandom } from '../kit/seeded-random.ts'

/** What a seed decides about broker, network and clients before anything happens. */
export interface Settings {
  readonly broker: Omit<BrokerOptions, 'dataDir' | 'clock' | 'network' | 'disk' | 'log'>
  readonly network: { latencyMs: readonly [number, number]; chunkBytesMax: number; windowBytes: number }
  readonly client: { requestTimeoutMs: number; heartbeatIntervalMs: number; routeRefreshMs: number }
  readonly queues: { orders: number; ledger: number; fleeting: number }
}

const KIB = 1024

export function drawSettings(random: SeededRandom): Settings {
  return {
    broker: {
      host: '10.0.0.1',
      port: 9876,
      flush: random.pick(['sync', 'sync', 'sync', 'async']),
      messageBytesMax: 256 * KIB,
      segmentBytes: random.pick([512 * KIB, 2048 * KIB, 8192 * KIB]),
      checkpointBytes: random.pick([1024 * KIB, 4096 * KIB, 256 * 1024 * KIB]),
      hotBytesMax: 16 * 1024 * KIB,
      transactionTimeoutMs: random.between(1_000, 6_000),
      transactionCheckIntervalMs: random.pick([2_000, 5_000, 30_000]),
      dedupWindowMs: random.pick([20_000, 60_000, 600_000]),
      // More than a day has, and quick to set aside at each of the many starts.
      dedupEntriesMax: 16_384,
      channelExpiryMs: random.pick([30_000, 60_000]),
    },
    network: {
      latencyMs: random.pick([
        [0.05, 0.5],
        [0.5, 20],
        [5, 80],
      ] as const),
      chunkBytesMax: random.pick([64 * KIB, 1460, 137]),
      windowBytes: random.pick([256 * KIB, 16 * KIB]),
    },
    client: {
      requestTimeoutMs: random.pick([1_000, 3_000]),
      heartbeatIntervalMs: random.pick([3_000, 10_000]),
      routeRefreshMs: random.pick([5_000, 30_000]),
    },
    queues: { orders: random.between(1, 5), ledger: random.between(1, 3), fleeting: random.between(1, 2) },
  }
}
