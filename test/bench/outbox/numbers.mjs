export const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

export const round = (value, digits = 2) => Number(value.toFixed(digits))

/** @param share 0.5 for the median */
export function percentile(list, share) {
  const sorted = Float64Array.from(list).sort()
  return sorted[Math.floor((sorted.length - 1) * share)]
}

/** @param kind which side of the floor is the right one */
export function figure(name, value, floor, kind, more = {}) {
  const verdict = (kind === 'at most' ? value <= floor : value >= floor) ? 'kept' : 'missed'
  return { name, value: round(value), floor: `${kind} ${floor}`, verdict, ...more }
}

/** A figure that cannot be had here. */
export const skipped = (name, why) => ({ name, verdict: 'skipped', why })
