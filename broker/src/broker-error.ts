import { TandemError } from '@tandemmq/protocol'

/** A request the broker refuses; `errorTable[code].remote` is the response code the client sees. */
export class BrokerError extends TandemError {}
