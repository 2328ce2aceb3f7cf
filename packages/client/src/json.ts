/** Readers for JSON that came from a peer: a wrong shape becomes an empty value, never a TypeError deep inside. */
export type JsonObject = Readonly<Record<string, unknown>>

export function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {}
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : String(value)
}

export function asNumber(value: unknown, otherwise = 0): number {
  const number = typeof value === 'number' ? value : Number(value ?? Number.NaN)
  return Number.isFinite(number) ? number : otherwise
}
