import { PROTOCOL_VERSION, RecordView } from '@tandemmq/protocol'
import type { ResolvedOptions } from './options.ts'
import type { Rooms } from './rooms.ts'

/** 10 s, a minute, 10 minutes side by side. */
const shown = (rates: readonly number[]): string => rates.map((rate) => rate.toFixed(2)).join(' ')

/**
 * Figures under the names the tools read (remoting.md 2E, GET_BROKER_RUNTIME_INFO). They parse most as numbers, so each name is
 * there even where this broker has nothing to measure: it has no thread pools and no timer thread that could fall behind.
 */
export function runtimeFigures(options: ResolvedOptions, rooms: Rooms): Record<string, string | number | boolean> {
  const { clock, disk, dataDir } = options
  const { store, statistics, delay, pulls, topics } = rooms
  const { put, got, startedAt } = statistics
  const { endOffset, firstOffset, pending } = store.stats()
  const use = disk.usedRatio?.(dataDir) ?? 0
  const [timerIn = 0] = statistics.rates({ extra: 0 })
  const [timerOut = 0] = statistics.rates({ extra: 1 })
  const gotTps = shown(statistics.rates('got'))
  const found = statistics.rates('found')
  const missed = statistics.rates('missed')
  return {
    brokerActive: true,
    brokerVersion: PROTOCOL_VERSION,
    brokerVersionDesc: 'TandemMQ',
    bootTimestamp: startedAt,
    startAcceptSendRequestTimeStamp: startedAt,
    runtime: spanText(clock.now() - startedAt),
    putTps: shown(statistics.rates('put')),
    getTransferredTps: gotTps,
    // Read by tools before 5.0.
    getTransferedTps: gotTps,
    getFoundTps: shown(found),
    getMissTps: shown(missed),
    getTotalTps: shown(found.map((rate, at) => rate + (missed[at] as number))),
    putMessageTimesTotal: put.messages,
    putMessageSizeTotal: put.bytes,
    putMessageAverageSize: put.messages === 0 ? 0 : put.bytes / put.messages,
    ...totals('msgPutTotal', statistics.morning('put'), put.messages),
    ...totals('msgGetTotal', statistics.morning('got'), got.messages),
    commitLogMinOffset: firstOffset,
    commitLogMaxOffset: endOffset,
    commitLogDiskRatio: use,
    consumeQueueDiskRatio: use,
    earliestMessageTimeStamp: earliestStoreTime(store, topics),
    dispatchBehindBytes: 0,
    sendThreadPoolQueueSize: pending,
    sendThreadPoolQueueHeadWaitTimeMills: 0,
    pullThreadPoolQueueSize: 0,
    pullThreadPoolQueueHeadWaitTimeMills: 0,
    ackThreadPoolQueueSize: 0,
    ackThreadPoolQueueHeadWaitTimeMills: 0,
    pageCacheLockTimeMills: 0,
    timerReadBehind: 0,
    timerOffsetBehind: 0,
    timerCongestNum: delay.stats().pending,
    timerEnqueueTps: timerIn.toFixed(2),
    timerDequeueTps: timerOut.toFixed(2),
    // Ours.
    parkedPulls: pulls.stats().parked,
  }
}

function totals(name: string, morning: { yesterday: number; today: number }, now: number): Record<string, number> {
  return {
    [`${name}YesterdayMorning`]: morning.yesterday,
    [`${name}TodayMorning`]: morning.today,
    [`${name}TodayNow`]: now,
  }
}

/** Store time of the first message that is in a queue, ms; 0 when there is none. */
function earliestStoreTime(store: Rooms['store'], topics: Rooms['topics']): number {
  let first = Number.POSITIVE_INFINITY
  for (const { queues } of topics.list()) {
    for (const queue of queues) {
      let offset = queue.minOffset
      while (offset < queue.maxOffset && queue.size(offset) === 0) offset++
      if (offset < queue.maxOffset) first = Math.min(first, queue.physicalOffset(offset))
    }
  }
  const record = first === Number.POSITIVE_INFINITY ? undefined : store.read(first)
  if (record === undefined) return 0
  const view = new RecordView()
  view.at(record, 0)
  return view.storeTimestamp
}

/** As the original words it (StoreStatsService.java). */
function spanText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const parts = [seconds / 86_400, (seconds / 3_600) % 24, (seconds / 60) % 60, seconds % 60].map(Math.floor)
  return `[ ${parts[0]} days, ${parts[1]} hours, ${parts[2]} minutes, ${parts[3]} seconds ]`
}
