const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' }

/** Lines `name=value` as java.util.Properties writes and reads them; remarks and empty lines are skipped, the last of a name counts. */
export function parseProperties(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const line of text.split(/\r\n|\r|\n/)) {
    const trimmed = line.trimStart()
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith('!')) continue
    const parts = /^((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)$/s.exec(trimmed)
    if (parts !== null) found.set(unescaped(parts[1] as string), unescaped(parts[2] as string))
  }
  return found
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_all, code: string | undefined, one: string) =>
    code === undefined ? (ESCAPES[one] ?? one) : String.fromCharCode(Number.parseInt(code, 16)),
  )
}
