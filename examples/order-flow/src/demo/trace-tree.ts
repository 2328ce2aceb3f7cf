/** A span as the demo shows it. */
export interface Span {
  traceId: string
  id: string
  parentId: string | undefined
  service: string
  /** With the tag of the message and the group that got it, where the span has them. */
  name: string
  /** ms since 1970 */
  startedAt: number
  endedAt: number
  isError: boolean
}

/** Spans nobody of the trace is the parent of: one, when the trace is one tree. */
export function rootsOf(spans: readonly Span[]): Span[] {
  const known = new Set(spans.map(({ id }) => id))
  return inTime(spans.filter(({ parentId }) => parentId === undefined || !known.has(parentId)))
}

/** The way from the root to each span, once each: `POST /orders > enqueue orders paid > process orders paid [stock]`. */
export function pathsOf(spans: readonly Span[]): string[] {
  const walk = (span: Span, above: readonly string[]): string[] => {
    const way = [...above, span.name]
    return [way.join(' > '), ...childrenOf(spans, span).flatMap((child) => walk(child, way))]
  }
  return [...new Set(rootsOf(spans).flatMap((root) => walk(root, [])))]
}

/** Lines to print: the tree on the left, then who did it, when it began and how long it took. */
export function treeOf(spans: readonly Span[]): string[] {
  const rows = rootsOf(spans).flatMap((root) => rowsOf(spans, root, '', ''))
  const began = Math.min(...spans.map(({ startedAt }) => startedAt))
  const width = Math.max(...rows.map(({ text }) => text.length))
  return rows.map(({ text, span }) => {
    const at = `+${Math.max(0, span.startedAt - began).toFixed(0)} ms`
    const took = `${(span.endedAt - span.startedAt).toFixed(1)} ms`
    const error = span.isError ? '  failed' : ''
    return `${text.padEnd(width)}  ${span.service.padEnd(9)} ${at.padStart(8)} ${took.padStart(9)}${error}`
  })
}

function rowsOf(spans: readonly Span[], span: Span, own: string, below: string): { text: string; span: Span }[] {
  const children = childrenOf(spans, span)
  const rows = children.flatMap((child, index) => {
    const isLast = index === children.length - 1
    return rowsOf(spans, child, `${below}${isLast ? '└─ ' : '├─ '}`, `${below}${isLast ? '   ' : '│  '}`)
  })
  return [{ text: `${own}${span.name}`, span }, ...rows]
}

function childrenOf(spans: readonly Span[], { id }: Span): Span[] {
  return inTime(spans.filter(({ parentId }) => parentId === id))
}

function inTime(spans: readonly Span[]): Span[] {
  return spans.toSorted((a, b) => a.startedAt - b.startedAt)
}
