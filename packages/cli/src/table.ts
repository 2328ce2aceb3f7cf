/** Rows under headings, columns padded to the widest cell, numbers to the right. */
export function textTable(headings: readonly string[], rows: readonly (readonly unknown[])[], empty = 'none'): string {
  if (rows.length === 0) return empty
  const cells = rows.map((row) => row.map((cell) => (cell === undefined || cell === null ? '-' : String(cell))))
  const numeric = headings.map((_, at) =>
    rows.every((row) => typeof row[at] === 'number' || typeof row[at] === 'bigint'),
  )
  const widths = headings.map((heading, at) => Math.max(heading.length, ...cells.map((row) => (row[at] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (numeric[at] ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(headings), ...cells.map(line)].join('\n')
}

/** JSON with 64-bit values as decimal text and bytes as base64, because JSON has neither. */
export function toJson(value: unknown, indent = 2): string {
  return JSON.stringify(
    value,
    function (this: Record<string, unknown>, key, given: unknown) {
      const original = this[key]
      if (typeof original === 'bigint') return original.toString()
      if (original instanceof Uint8Array) return Buffer.from(original).toString('base64')
      return given
    },
    indent,
  )
}
