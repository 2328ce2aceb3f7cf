/** Columns of docs/spec/outbox.md 6.1. */
export type Fault =
  | 'app kill -9'
  | 'app SIGSTOP past the idle timeout, SIGCONT'
  | 'postgres kill -9, restart'
  | 'sync failover'
  | 'broker kill -9, restart'
  | 'app-postgres cut'
  | 'app-broker cut'

/**
 * End states. `N` and `R`: no order, no message. `C`: the order and its message once. `F`: as C, the message through the outbox
 * table. `R|C`: whichever Postgres decided, never a mixture.
 */
export type End = 'N' | 'R' | 'C' | 'F' | 'R|C'

export const faults: readonly Fault[] = [
  'app kill -9',
  'app SIGSTOP past the idle timeout, SIGCONT',
  'postgres kill -9, restart',
  'sync failover',
  'broker kill -9, restart',
  'app-postgres cut',
  'app-broker cut',
]

// Where the application lives on after the fault, and the table says N, R or nothing because nothing had happened yet, its
// transaction may go on to its end: R|C. A half whose acknowledgement is in doubt goes through the table: C covers F.
const rows: Readonly<Record<string, readonly End[]>> = {
  P0: ['N', 'R|C', 'N', 'N', 'R|C', 'R|C', 'F'],
  P1: ['R', 'R', 'R', 'R', 'R|C', 'R', 'F'],
  P2: ['R', 'R', 'R', 'R', 'R|C', 'R', 'F'],
  P3: ['R', 'R', 'R', 'R', 'R|C', 'R', 'C'],
  P4: ['R', 'R', 'R', 'R', 'C', 'R', 'C'],
  P5: ['R', 'R', 'R', 'R', 'C', 'R', 'C'],
  P6: ['R', 'R', 'R', 'R', 'C', 'R', 'C'],
  P7: ['R|C', 'R|C', 'R|C', 'R|C', 'C', 'R|C', 'C'],
  P8: ['R|C', 'R|C', 'R|C', 'R|C', 'C', 'R|C', 'C'],
  P9: ['R|C', 'R|C', 'R|C', 'R|C', 'C', 'R|C', 'C'],
  P10: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
  P11: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
  P12: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
  P13: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
  P14: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
  P15: ['C', 'C', 'C', 'C', 'C', 'C', 'C'],
}

export const points: readonly string[] = Object.keys(rows)

export function requiredEnd(point: string, fault: Fault): End {
  const end = rows[point]?.[faults.indexOf(fault)]
  if (end === undefined) throw new Error(`no cell ${point}, ${fault}`)
  return end
}
