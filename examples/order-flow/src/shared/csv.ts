import { readFileSync } from 'node:fs'

/** Rows of a CSV file with a header line, as objects; a field may stand in double quotes. */
export function readCsv(file: string | URL): Record<string, string>[] {
  const [header = '', ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n')
  const names = header.split(',')
  return lines.map((line) => {
    const values = [...line.matchAll(/(?:^|,)(?:"([^"]*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
  })
}
