import type { HookOptions } from '../hooks/hooks.ts'
import type { CompressionOptions } from '../message/compression.ts'
import type { GroupOptions } from '../options.ts'

export interface ProducerOptions extends GroupOptions, HookOptions, CompressionOptions {
  /** Upper bound of one send with all its retries, ms. Default 3000. */
  sendTimeoutMs?: number | undefined
  /**
   * How long an attempt is waited for before the message is sent again under the same id, ms (Java's
   * sendMsgMaxTimeoutPerRequest); its answer still counts when it comes later. The last attempt has all that is left of
   * sendTimeoutMs. Default: an equal part of what is left, at least 500 and at most `requestTimeoutMs`; as a rule 1000. A value
   * is an upper bound instead of `requestTimeoutMs`.
   */
  attemptTimeoutMs?: number | undefined
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
