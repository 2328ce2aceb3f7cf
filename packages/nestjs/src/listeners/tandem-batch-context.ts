import { TandemContext } from './tandem-context.ts'

/** What a listener with `batch` gets as context: that of its first message, and those of all. */
export class TandemBatchContext extends TandemContext {
  private readonly contexts: readonly TandemContext[]
  private joined: AbortSignal | undefined

  /** @param contexts at least one */
  constructor(contexts: readonly TandemContext[]) {
    super((contexts[0] as TandemContext).getArgs())
    this.contexts = contexts
  }

  /** In the order of the payloads. */
  getContexts(): readonly TandemContext[] {
    return this.contexts
  }

  /** Aborted when one of the deliveries is. */
  override get signal(): AbortSignal {
    this.joined ??= AbortSignal.any(this.contexts.map(({ signal }) => signal))
    return this.joined
  }
}
