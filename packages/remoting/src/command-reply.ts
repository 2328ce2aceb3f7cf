import { commandOf, type HeaderView, type RemotingCommand } from '@tandemmq/protocol'
import type { ReplyHandler } from './pending-requests.ts'
import { RemotingError } from './remoting-error.ts'

/** Turns one answer into a promise. */
export class CommandReply implements ReplyHandler {
  #resolve: (command: RemotingCommand) => void
  #reject: (error: unknown) => void
  #signal: AbortSignal | undefined
  #abort: (() => void) | undefined

  constructor(resolve: (command: RemotingCommand) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  /** @param forget takes this handler out of the requests that wait */
  abortOn(signal: AbortSignal, forget: () => void): void {
    this.#signal = signal
    this.#abort = () => {
      forget()
      this.#reject(new RemotingError('ABORTED', 'request aborted', { cause: signal.reason }))
    }
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  onReply(header: HeaderView): void {
    this.#leaveSignal()
    try {
      this.#resolve(commandOf(header))
    } catch (error) {
      this.#reject(error)
    }
  }

  onFailure(error: RemotingError): void {
    this.#leaveSignal()
    this.#reject(error)
  }

  #leaveSignal(): void {
    if (this.#abort) this.#signal?.removeEventListener('abort', this.#abort)
  }
}
