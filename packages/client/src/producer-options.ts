import type { CompressionOptions } from './compression.ts'
import type { HookOptions } from './hooks.ts'
import type { GroupOptions } from './options.ts'

export interface ProducerOptions extends GroupOptions, HookOptions, CompressionOptions {
  /** Upper bound of one send with all its retries, ms. Default 3000. */
  sendTimeoutMs?: number | undefined
  /** Attempts after the first one. Default 2. */
  retriesMax?: number | undefined
  /** Largest body, bytes. Default 4,194,304, the brokers' default. */
  bodyBytesMax?: number | undefined
}

export interface SendOptions {
  /** Default: the producer's sendTimeoutMs. */
  timeoutMs?: number | undefined
  /** Attempts after the first one. Default: the producer's retriesMax. */
  retriesMax?: number | undefined
  /** Aborted: the promise rejects with ABORTED; the message may or may not have been stored. */
  signal?: AbortSignal | undefined
}
