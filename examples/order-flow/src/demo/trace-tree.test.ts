import { expect, test } from 'vitest'
import { spansOf } from './otlp.ts'
import { pathsOf, rootsOf, type Span, treeOf } from './trace-tree.ts'

function span(id: string, parentId: string | undefined, name: string, startedAt: number): Span {
  return { traceId: 't', id, parentId, service: 'orders', name, startedAt, endedAt: startedAt + 1.5, isError: false }
}

const spans = [
  span('4', '2', 'process orders paid [stock]', 140),
  span('2', '1', 'enqueue orders paid', 120),
  span('3', '1', 'send stock-levels', 110),
  // Its parent is the gateway's span, which nobody has sent.
  span('1', 'gateway', 'POST /orders', 100),
]

test('spans become one tree, children in the order in which they began', () => {
  expect(treeOf(spans)).toEqual([
    'POST /orders                       orders       +0 ms    1.5 ms',
    '├─ send stock-levels               orders      +10 ms    1.5 ms',
    '└─ enqueue orders paid             orders      +20 ms    1.5 ms',
    '   └─ process orders paid [stock]  orders      +40 ms    1.5 ms',
  ])
})

test('the ways of a tree are told once each, also when a message came twice', () => {
  expect(pathsOf([...spans, span('5', '2', 'process orders paid [stock]', 160)])).toEqual([
    'POST /orders',
    'POST /orders > send stock-levels',
    'POST /orders > enqueue orders paid',
    'POST /orders > enqueue orders paid > process orders paid [stock]',
  ])
})

test('a span whose parent is missing is a root of its own', () => {
  const cut = spans.filter(({ id }) => id !== '2')
  expect(rootsOf(cut).map(({ name }) => name)).toEqual(['POST /orders', 'process orders paid [stock]'])
})

test('what an exporter sends is read with service, tag and group', () => {
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } })
  const exported = {
    ...{ traceId: 't', spanId: 'a', parentSpanId: 'b', name: 'process orders' },
    ...{ startTimeUnixNano: '1000000000', endTimeUnixNano: '1002500000', status: { code: 2 } },
    attributes: [
      attribute('messaging.rocketmq.message.tag', 'paid'),
      attribute('messaging.consumer.group.name', 'stock'),
    ],
  }
  const resource = { attributes: [attribute('service.name', 'stock')] }
  expect(spansOf({ resourceSpans: [{ resource, scopeSpans: [{ spans: [exported] }] }] })).toEqual([
    {
      ...{ traceId: 't', id: 'a', parentId: 'b', service: 'stock', name: 'process orders paid [stock]' },
      ...{ startedAt: 1_000, endedAt: 1_002.5, isError: true },
    },
  ])
})
