import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The lines of all logs of a folder in the order of time. Each log is in order by itself. */
export function* mergedHistory(directory: string): Generator<{ t: number; line: string }> {
  const heads: { lines: Generator<{ t: number; line: string }>; next: { t: number; line: string } }[] = []
  const advance = (lines: Generator<{ t: number; line: string }>): { t: number; line: string } | undefined => {
    const { value, done } = lines.next()
    return done ? undefined : value
  }
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.jsonl'))) {
    const lines = linesOf(join(directory, name))
    const next = advance(lines)
    if (next !== undefined) heads.push({ lines, next })
  }
  while (heads.length > 0) {
    let first = heads[0] as (typeof heads)[0]
    for (const head of heads) if (head.next.t < first.next.t) first = head
    yield first.next
    const next = advance(first.lines)
    if (next === undefined) heads.splice(heads.indexOf(first), 1)
    else first.next = next
  }
}

function* linesOf(path: string): Generator<{ t: number; line: string }> {
  const text = readFileSync(path, 'utf8')
  let start = 0
  // What a killed process did not finish has no end.
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
    const line = text.slice(start, end)
    start = end + 1
    yield { t: Number(/"t":(\d+)/.exec(line)?.[1] ?? 0), line }
  }
}
