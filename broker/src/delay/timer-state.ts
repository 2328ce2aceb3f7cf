/**
 * States of a delayed message. Decisions are made in the order of their appends, so the log agrees with the table:
 *
 * | state     | due    | cancel   | reschedule | stored            | refused | failed |
 * | --------- | ------ | -------- | ---------- | ----------------- | ------- | ------ |
 * | pending   | firing | changing | changing   |                   |         |        |
 * | firing    |        | "fired"  | "fired"    | fired             | pending | stays  |
 * | changing  |        | waits    | waits      | cancelled, or new | pending | stays  |
 * | fired     |        | "fired"  | "fired"    |                   |         |        |
 * | cancelled |        | repeat   | "cancelled" |                  |         |        |
 *
 * A rescheduled one leaves the table, and its parked copy enters it as pending under the same unique key.
 *
 * Refused = the log did not take the record, failed = the store broke under it and the restart will tell; it stays put.
 * `free` numbers are reused; `forgotten` ones wait until the heap lets go of them.
 */
export const TimerState = {
  free: 0,
  pending: 1,
  firing: 2,
  changing: 3,
  fired: 4,
  cancelled: 5,
  forgotten: 6,
} as const
