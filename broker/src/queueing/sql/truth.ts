/**
 * What a condition says about one message. UNKNOWN is SQL's null; ERROR means that a value could not be read as what it is
 * compared with, and decides the whole expression as soon as it is met (broker.md 2.5: such a message is not delivered).
 */
export const Truth = { FALSE: 0, TRUE: 1, UNKNOWN: 2, ERROR: 3 } as const
export type Truth = (typeof Truth)[keyof typeof Truth]

export const truthOf = (value: boolean): Truth => (value ? Truth.TRUE : Truth.FALSE)
