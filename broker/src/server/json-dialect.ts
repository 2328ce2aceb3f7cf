/**
 * JSON as RocketMQ's fastjson writes it (remoting.md 1.8): a Map with numeric keys has them unquoted, a Map with object keys has
 * the object's JSON as key. Everything else is plain JSON.
 */
export function dialectJson(value: unknown): string {
  if (value instanceof Map) {
    const entries = [...value].map(([key, of]) => `${keyJson(key)}:${dialectJson(of)}`)
    return `{${entries.join(',')}}`
  }
  if (Array.isArray(value)) return `[${value.map(dialectJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, of]) => of !== undefined)
    return `{${entries.map(([key, of]) => `${JSON.stringify(key)}:${dialectJson(of)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** Standard JSON of the same values: every key quoted. Only Maps with text or number keys have one. */
export function standardJson(value: unknown): string {
  return JSON.stringify(value, (_key, of: unknown) => (of instanceof Map ? Object.fromEntries(of) : of))
}

const keyJson = (key: unknown): string => (typeof key === 'number' ? String(key) : dialectJson(key))
