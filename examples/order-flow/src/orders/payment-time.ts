/** How long a transfer may take before the order is cancelled. A shop would say days. */
export const PAYMENT_TIME_MS = 3_000
