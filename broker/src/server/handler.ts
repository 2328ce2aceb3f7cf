import type { HeaderView } from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'

/** Serves one request code. The header and its bytes are valid during the call only; a thrown TandemError is the answer. */
export type Handler = (connection: Connection, header: HeaderView) => void
