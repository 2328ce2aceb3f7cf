import type { TraceCollector } from './trace-collector.ts'
import { pathsOf, rootsOf, type Span, treeOf } from './trace-tree.ts'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

const WAIT_SECONDS_MAX = 5
const QUIET_MS = 1_000

/** Ways of the first order over HTTP: who had what to do with it. One tree, however many processes. */
export const tracePaths = [
  'POST /orders > send stock-levels > process stock-levels [stock-levels]',
  'POST /orders > enqueue orders placed > process orders placed [billing-journal]',
  'POST /orders > enqueue orders paid > process orders paid [billing-journal]',
  'POST /orders > enqueue orders paid > process orders paid [stock]',
  'POST /orders > enqueue orders paid > process orders paid [billing]',
]

/** Waits for the spans of all services and prints them as a tree. */
export async function showTrace(world: World, timeline: Timeline, traceId: string): Promise<Span[]> {
  const deadline = timeline.seconds + WAIT_SECONDS_MAX
  const spans = await world.until('the trace of the first order', 10_000, async () => {
    const found = world.traces.trace(traceId)
    return (timeline.seconds > deadline || foundPaths(found).length === tracePaths.length) && found
  })
  const services = new Set(spans.map(({ service }) => service))
  console.log(`\nThe first order over HTTP, one trace through ${services.size} processes:`)
  printTree(spans)
  return spans
}

/** From now on each trace that begins with a request that changes something is printed when no more spans of it come. */
export function showRequests(traces: TraceCollector): void {
  const since = Date.now()
  const waiting = new Map<string, NodeJS.Timeout>()
  traces.onSpans = (traceId) => {
    clearTimeout(waiting.get(traceId))
    waiting.set(traceId, setTimeout(() => show(traceId), QUIET_MS).unref())
  }
  const show = (traceId: string): void => {
    waiting.delete(traceId)
    const spans = traces.trace(traceId)
    const [root] = rootsOf(spans)
    if (root !== undefined && root.startedAt >= since && /^(POST|PUT) /.test(root.name)) printTree(spans)
  }
}

function printTree(spans: readonly Span[]): void {
  console.log(
    `${treeOf(spans)
      .map((line) => `  ${line}`)
      .join('\n')}\n`,
  )
}

/** Of the ways that should be there, those that are; none when the trace is not one tree. */
export function foundPaths(spans: readonly Span[]): string[] {
  const paths = pathsOf(spans)
  return rootsOf(spans).length === 1 ? tracePaths.filter((path) => paths.includes(path)) : []
}
