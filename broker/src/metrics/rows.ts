/** Series of one family in an answer; beyond, those with the smallest figures are left out and counted. */
export const ROWS_MAX = 2_000

export interface Cut<Row> {
  readonly rows: readonly Row[]
  readonly left: number
}

/** The rows with the largest `weight`, in their original order. */
export function largest<Row extends { readonly weight: number }>(rows: readonly Row[], max = ROWS_MAX): Cut<Row> {
  if (rows.length <= max) return { rows, left: 0 }
  const kept = new Set(rows.toSorted((a, b) => b.weight - a.weight).slice(0, max))
  return { rows: rows.filter((row) => kept.has(row)), left: rows.length - max }
}
