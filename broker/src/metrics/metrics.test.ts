import { emptyRecordFields, encodeRecord } from '@tandemmq/protocol'
import { VirtualClock, MemoryNetwork } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { Latency, Measurements } from '../measurements.ts'
import { familyText, histogramText, sampleText } from './exposition.ts'
import { Metrics } from './metrics.ts'
import { MetricsServer } from './metrics-server.ts'
import { largest } from './rows.ts'
import type { MetricSources } from './sources.ts'
import { openHalves } from '../transaction/open-states.ts'

const NOW = 1_700_000_000_000

/** A company of so many topics with one lagging group each; every queue but the first of a topic is consumed. */
function sources(topics: number, queuesOfEach: number, over: Partial<MetricSources> = {}): MetricSources {
  const clock = new VirtualClock({ seed: 1, startAt: NOW })
  const list = Array.from({ length: topics }, (_, at) => ({
    name: `t${at}`,
    put: { messages: at, bytes: at * 100, calls: 1 },
    readQueues: queuesOfEach,
    queues: Array.from({ length: queuesOfEach }, () => ({ minOffset: 2, maxOffset: 10, physicalOffset: () => 4096 })),
  }))
  const byName = new Map(list.map((topic) => [topic.name, topic]))
  const groups = list.map(({ name }) => ({ name: `g-${name}`, delivered: new Map() }))
  const offsets = {
    topicsOf: (group: string) => [group.slice(2)],
    committed: (_group: string, topic: string, queueId: number) =>
      queueId > 0 ? 10 : 2 + (Number(topic.slice(1)) % 8),
  }
  const unknown = {
    clock,
    store: { stats: () => ({ endOffset: 10, firstOffset: 4 }), unsafeBytes: 0, read: () => undefined },
    topics: { list: () => list, find: (name: string) => byName.get(name) },
    groups: { list: () => groups, members: () => [], conflicts: () => [], online: () => [] },
    offsets,
    leases: { stats: () => ({}), leased: () => 0 },
    pulls: { stats: () => ({}) },
    passedOver: (_queue: unknown, _group: string, offset: number) => offset,
    transactions: { stats: () => ({}), openHalves: () => openHalves([], 0) },
    order: { stats: () => ({}) },
    delay: { stats: () => ({}) },
    retry: { stats: () => ({}) },
    dedup: undefined,
    statistics: { put: {}, deliveries: { total: {} }, startedAt: NOW },
    measured: new Measurements(),
    remoting: () => ({ connections: 0, outputBytes: 0, stats: { closedBy: { IDLE: 3 } } }),
    diskUsed: () => undefined,
    memory: () => ({ rss: 1, heapUsed: 2, external: 3 }),
    ...over,
  }
  return unknown as unknown as MetricSources
}

const textOf = (metrics: Metrics): string => [...metrics.pieces()].join('')

test('names and label values are written as the format wants them', () => {
  const metric = { name: 'tandemmq_x', kind: 'gauge', help: 'a \\ and\na line', labels: ['group', 'topic'] } as const
  expect(familyText(metric)).toBe('# HELP tandemmq_x a \\\\ and\\na line\n# TYPE tandemmq_x gauge\n')
  expect(sampleText(metric, 1.5, 'say "no"', 'a\\b\nc')).toBe(
    'tandemmq_x{group="say \\"no\\"",topic="a\\\\b\\nc"} 1.5\n',
  )
  expect(sampleText({ ...metric, labels: [] }, Number.POSITIVE_INFINITY)).toBe('tandemmq_x +Inf\n')
})

test('a histogram is cumulative, ends with +Inf, and its sum and count are those of everything observed', () => {
  const text = histogramText({ name: 'h', kind: 'histogram', help: 'x' }, [0.1, 0.2], [3, 0, 2], 7.5)
  expect(text).toBe(
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="0.1"} 3\nh_bucket{le="0.2"} 3\nh_bucket{le="+Inf"} 5\nh_sum 7.5\nh_count 5\n',
  )
})

test('every duration falls into the bucket whose bounds hold it', () => {
  const bound = (index: number): number => (index < 0 ? 0 : 2 ** index / 16)
  for (const ms of [0, 1e-9, 1 / 16, 0.0626, 0.125, 0.126, 1, 1.01, 3, 999, 16_384, 16_385, 1e9, Infinity, -5]) {
    const latency = new Latency()
    latency.observe(ms)
    const index = latency.counts.indexOf(1)
    expect(latency.count).toBe(1)
    if (ms > 0) expect(ms).toBeGreaterThan(bound(index - 1))
    if (index < 19) expect(ms).toBeLessThanOrEqual(bound(index))
  }
})

test('a quantile is the upper bound of its bucket', () => {
  const latency = new Latency()
  expect(latency.quantile(0.99)).toBe(0)
  for (let n = 0; n < 99; n++) latency.observe(0.9)
  latency.observe(900)
  expect([latency.quantile(0.5), latency.quantile(0.99), latency.quantile(1)]).toEqual([1, 1, 1_024])
})

test('lag counts what is stored behind the position, from the first message there still is', () => {
  const text = textOf(new Metrics(sources(9, 2), new Latency()))
  expect(text).toContain('tandemmq_group_lag_messages{group="g-t0",topic="t0"} 8\n')
  expect(text).toContain('tandemmq_group_lag_messages{group="g-t3",topic="t3"} 5\n')
  const lost = sources(1, 1, { offsets: { topicsOf: () => ['t0'], committed: () => -1 } })
  expect(textOf(new Metrics(lost, new Latency()))).toContain('group_lag_messages{group="g-t0",topic="t0"} 8\n')
})

test('beyond the cap the rows with the smallest figures are left out and counted', () => {
  expect(
    largest(
      [3, 1, 2].map((weight) => ({ weight })),
      2,
    ),
  ).toEqual({ rows: [{ weight: 3 }, { weight: 2 }], left: 1 })
  const text = textOf(new Metrics(sources(100, 1), new Latency(), { rowsMax: 10 }))
  expect(text.match(/^tandemmq_group_lag_messages{/gm)).toHaveLength(10)
  expect(text.match(/^tandemmq_topic_messages{/gm)).toHaveLength(10)
  expect(text).toContain('tandemmq_metrics_series_cut{rows="group_topics"} 90\n')
  expect(text).toContain('tandemmq_metrics_series_cut{rows="topics"} 90\n')
  const kept = [...text.matchAll(/^tandemmq_group_lag_messages{.*} (\d+)$/gm)].map(([, lag]) => Number(lag))
  expect(Math.min(...kept)).toBe(8)
})

test('a group that stands still has its oldest message read once, however often it is asked about', () => {
  const reads: number[] = []
  const given = sources(1, 1)
  const fields = { ...emptyRecordFields(), topic: Buffer.from('t0'), storeTimestamp: NOW - 90_000 }
  const read = (at: number) => (reads.push(at), encodeRecord(fields))
  const metrics = new Metrics({ ...given, store: { ...given.store, read } }, new Latency())
  for (let asked = 0; asked < 3; asked++) {
    expect(textOf(metrics)).toContain('tandemmq_group_lag_seconds{group="g-t0",topic="t0"} 90\n')
  }
  expect(reads).toEqual([4096])
})

test('the age of a message that is gone is not made up', () => {
  const text = textOf(new Metrics(sources(1, 1), new Latency()))
  expect(text).toContain('# TYPE tandemmq_group_lag_seconds gauge\n# HELP ')
})

test('an answer about 10,000 queues never works through more than one queue without a pause', () => {
  let looked = 0
  const given = sources(100, 100)
  const offsets = { ...given.offsets, committed: () => (looked++, 10) }
  let most = 0
  let before = 0
  for (const _ of new Metrics({ ...given, offsets }, new Latency()).pieces()) {
    most = Math.max(most, looked - before)
    before = looked
  }
  expect(looked).toBe(10_000)
  expect(most).toBeLessThanOrEqual(1)
})

async function ask(request: string, metrics = new Metrics(sources(3, 2), new Latency())) {
  const clock = new VirtualClock({ seed: 1 })
  const network = new MemoryNetwork({ clock })
  const server = new MetricsServer({ clock, network, metrics })
  await server.start('10.0.0.1', 9100)
  const socket = await clock.run(network.connect({ host: '10.0.0.1', port: 9100, timeoutMs: 1_000 }))
  let text = ''
  let isClosed = false
  socket.handler = {
    onData: (bytes, start, end) => (text += bytes.toString('utf8', start, end)),
    onDrain: () => {},
    onClose: () => (isClosed = true),
  }
  socket.write(Buffer.from(request), 0, request.length)
  await clock.advance(5_000)
  const answered = text
  await clock.advance(30_000)
  await server.close()
  return { text: answered, isClosed }
}

test.each([
  ['GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n', '200 OK'],
  ['GET /metrics?a=b HTTP/1.0\r\n\r\n', '200 OK'],
  ['GET / HTTP/1.1\r\n\r\n', '404 Not Found'],
  ['POST /metrics HTTP/1.1\r\n\r\n', '405 Method Not Allowed'],
  ['hello\r\n\r\n', '400 Bad Request'],
])('%j is answered %s and the connection closed', async (request, status) => {
  const { text, isClosed } = await ask(request)
  expect(text.startsWith(`HTTP/1.1 ${status}\r\n`)).toBe(true)
  const [head = '', body = ''] = text.split('\r\n\r\n')
  expect(head).toContain(`Content-Length: ${Buffer.byteLength(body)}`)
  expect(isClosed).toBe(true)
  if (status === '200 OK') expect(head).toContain('Content-Type: text/plain; version=0.0.4; charset=utf-8')
})

test('a request that does not end is refused at 8 KiB', async () => {
  expect((await ask(`GET /metrics HTTP/1.1\r\nX: ${'x'.repeat(8_192)}`)).text).toMatch(/^HTTP\/1\.1 400 /)
})

test('who asks nothing is sent away, and what breaks is told instead of a half answer', async () => {
  expect(await ask('GET /met')).toEqual({ text: '', isClosed: true })
  const broken = sources(1, 1, { topics: { list: () => [], find: () => undefined } })
  const failing = { ...broken, offsets: { ...broken.offsets, topicsOf: () => JSON.parse('{') as string[] } }
  const { text } = await ask('GET /metrics HTTP/1.1\r\n\r\n', new Metrics(failing, new Latency()))
  expect(text).toMatch(/^HTTP\/1\.1 500 /)
})
