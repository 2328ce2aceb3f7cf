import { RejectMessage } from '@tandemmq/client'
import type { Clock, Timer } from '@tandemmq/client'
import type { Invocation } from './listener-invoker.ts'
import type { BatchOptions } from './listener-options.ts'
import { reasonOf } from './outcome.ts'
import { PartialFailure } from './partial-failure.ts'
import { TandemBatchContext } from './tandem-batch-context.ts'
import type { TandemContext } from './tandem-context.ts'

export interface BatchPort {
  readonly batch: BatchOptions
  /** Calls at a time. */
  readonly concurrencyMax: number
  readonly clock: Clock
  invoke: Invocation
  isPayloadRefusal(context: TandemContext, error: unknown): boolean
}

interface Entry {
  readonly payload: unknown
  readonly context: TandemContext
  resolve(value: unknown): void
  reject(error: unknown): void
}

const WAIT_MS = 100

/** Gathers deliveries of single messages into calls with many, and tells each what became of it. */
export class BatchCollector {
  private readonly port: BatchPort
  private waiting: Entry[] = []
  private running = 0
  private timer: Timer | undefined
  /** The first of those who wait has waited long enough. */
  private isDue = false
  private isEnding = false

  constructor(port: BatchPort) {
    this.port = port
  }

  /** Settles as the call does that this message becomes a part of. */
  readonly join: Invocation = (payload, context) =>
    new Promise((resolve, reject) => {
      this.waiting.push({ payload, context, resolve, reject })
      this.callWhileReady()
    })

  /** Nothing more will come. */
  ending(): void {
    this.isEnding = true
    this.callWhileReady()
  }

  private callWhileReady(): void {
    const { batch, concurrencyMax, clock } = this.port
    const { sizeMax, waitMs = WAIT_MS } = batch
    while (this.waiting.length > 0 && this.running < concurrencyMax) {
      if (this.waiting.length < sizeMax && !this.isDue && !this.isEnding) break
      this.restTimer()
      void this.call(this.waiting.splice(0, sizeMax))
    }
    if (this.waiting.length === 0 || this.isDue || this.timer !== undefined) return
    this.timer = clock.setTimer(waitMs, () => {
      this.restTimer()
      this.isDue = true
      this.callWhileReady()
    })
  }

  private restTimer(): void {
    this.timer?.cancel()
    this.timer = undefined
    this.isDue = false
  }

  private async call(entries: Entry[]): Promise<void> {
    this.running++
    const wanted = entries.filter((entry) => !isGivenUp(entry))
    if (wanted.length > 0) await this.settle(wanted)
    this.running--
    this.callWhileReady()
  }

  private async settle(entries: readonly Entry[]): Promise<void> {
    const context = new TandemBatchContext(entries.map((entry) => entry.context))
    const payloads = entries.map(({ payload }) => payload)
    try {
      await this.port.invoke(payloads, context)
      for (const { resolve } of entries) resolve(undefined)
    } catch (error) {
      if (this.port.isPayloadRefusal(context, error)) await this.settleRefused(entries, error)
      else if (error instanceof PartialFailure) settlePartly(entries, error)
      else for (const { reject } of entries) reject(error)
    }
  }

  /** A pipe does not say which payload it refuses; alone, only the guilty one is. The method has not run. */
  private async settleRefused(entries: readonly Entry[], error: unknown): Promise<void> {
    const [only] = entries
    if (entries.length === 1) {
      only?.reject(new RejectMessage(`payload refused: ${reasonOf(error)}`, { cause: error }))
      return
    }
    for (const entry of entries) await this.settle([entry])
  }
}

/** Its consumer waits for it no longer, and will deliver it again. */
function isGivenUp({ context, reject }: Entry): boolean {
  const { signal } = context
  if (signal.aborted) reject(signal.reason)
  return signal.aborted
}

function settlePartly(entries: readonly Entry[], { failures }: PartialFailure): void {
  for (const [index, { resolve, reject }] of entries.entries()) {
    if (failures.has(index)) reject(failures.get(index))
    else resolve(undefined)
  }
}
