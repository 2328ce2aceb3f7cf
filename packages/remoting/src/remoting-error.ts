import { TandemError } from '@tandemmq/protocol'

/** What goes wrong between two processes: connecting, waiting for an answer, a connection that ends. */
export class RemotingError extends TandemError {}
