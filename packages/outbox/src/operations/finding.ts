/** `error`: messages may be lost or stay where they are. `warning`: they may under some fault, or nobody tidies up. */
export interface Finding {
  readonly level: 'error' | 'warning'
  /** A name that stays, for programs: `fsync`, `asyncStandby`, … */
  readonly check: string
  readonly detail: string
}
