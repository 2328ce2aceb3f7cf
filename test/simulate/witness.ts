import type { HistoryEvent } from '../crash/history.ts'

const LINES_MAX = 10

/** The ten events around a violation: those about its messages first, the rest what happened to everybody. */
export function witness(events: readonly HistoryEvent[], ids: readonly string[]): string[] {
  const about = events.filter((event) => 'id' in event && ids.includes(event.id))
  const chosen = new Set(about.slice(-LINES_MAX))
  const last = about.at(-1)?.t ?? events.at(-1)?.t ?? 0
  const others = events
    .filter(({ event, t }) => (event === 'fault' || event === 'heal' || event === 'member') && t <= last)
    .slice(-LINES_MAX)
  for (const one of others.toReversed()) if (chosen.size < LINES_MAX) chosen.add(one)
  return events.filter((event) => chosen.has(event)).map((event) => lineOf(event))
}

function lineOf({ t, wall: _, proc, ...rest }: HistoryEvent): string {
  return `${(t / 1e9).toFixed(3)} s  ${proc}  ${JSON.stringify(rest)}`
}
