import { SystemTopic } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { chance, ScriptLog, testClock } from '../../log-test-kit.ts'
import { orderOnScriptLog, type Place } from './order-test-kit.ts'

test('a message waits for the undecided half message of its key, is acknowledged at once, and is seen right behind it', async () => {
  const { half, send, end, turn, seen, held, order, log } = orderOnScriptLog()
  const first = half('h', 'k')
  const { completion } = send('m', 'k')
  await turn()
  expect([completion.state, seen(), held(), order.stats().held]).toEqual(['stored', [], ['m'], 1])
  const outcome = end(first, 'commit')
  await turn()
  expect([outcome, seen(), order.isActive]).toEqual([['committed'], ['h', 'm'], false])
  const [, seenCopy] = log.messages('orders')
  expect({ ...seenCopy?.properties }).toEqual({ UNIQ_KEY: 'm', __SHARDINGKEY: 'k' })
  expect(seenCopy).toMatchObject({ queueId: 2, sysFlag: 0 })
})

test('other keys, other topics and messages without a key are never held', async () => {
  const { half, send, turn, seen, held } = orderOnScriptLog()
  half('h', 'k')
  send('a', 'other')
  send('b', undefined)
  send('c', 'k', 'payments')
  half('without a key', undefined)
  await turn()
  expect([seen(), seen('payments'), held()]).toEqual([['a', 'b'], ['c'], []])
})

test('a rolled back half releases what stood behind it and is not seen', async () => {
  const { half, send, end, turn, seen } = orderOnScriptLog()
  const first = half('h', 'k')
  send('m1', 'k')
  send('m2', 'k')
  end(first, 'rollback')
  await turn()
  expect(seen()).toEqual(['m1', 'm2'])
})

test('halves are seen in the order of their places, whatever the order of their ends', async () => {
  const { half, send, end, turn, seen, service } = orderOnScriptLog()
  const [a, b, c] = [half('a', 'k'), half('b', 'k'), half('c', 'k')]
  send('m', 'k')
  expect(end(c, 'commit')).toEqual([])
  await turn()
  expect(seen()).toEqual([])
  end(b, 'rollback')
  await turn()
  expect([seen(), service.stats().pending]).toEqual([[], 1])
  end(a, 'commit')
  await turn()
  expect(seen()).toEqual(['a', 'c', 'm'])
})

test('a later half that gets its commit is decided at once and durably', async () => {
  const { half, end, turn, seen, log } = orderOnScriptLog()
  const [a, b] = [half('a', 'k'), half('b', 'k')]
  const answers = end(b, 'commit')
  await turn()
  expect([answers, end(b, 'rollback'), seen()]).toEqual([['committed'], ['committed'], []])
  const after = orderOnScriptLog({ log: log.prefix(log.entries.length) })
  expect([after.end(b, 'rollback'), after.seen()]).toEqual([['committed'], []])
  after.end(a, 'commit')
  await after.turn()
  expect(after.seen()).toEqual(['a', 'b'])
})

test('the run up to the next undecided half is released, no further', async () => {
  const { half, send, end, turn, seen } = orderOnScriptLog()
  const a = half('a', 'k')
  send('m1', 'k')
  const b = half('b', 'k')
  send('m2', 'k')
  end(a, 'commit')
  await turn()
  expect(seen()).toEqual(['a', 'm1'])
  send('m3', 'k')
  end(b, 'commit')
  await turn()
  expect(seen()).toEqual(['a', 'm1', 'b', 'm2', 'm3'])
})

test('wherever the log is cut, each acknowledged message is seen exactly once and in order after the halves are settled', async () => {
  const world = orderOnScriptLog()
  const { half, send, end, turn, log } = world
  const halves: Record<string, Place> = { a: half('a', 'k') }
  send('m1', 'k')
  halves['b'] = half('b', 'k')
  send('m2', 'k')
  halves['c'] = half('c', 'k')
  halves['d'] = half('d', 'k')
  send('m3', 'k')
  end(halves['c'] as Place, 'commit')
  await turn()
  end(halves['a'] as Place, 'commit')
  await turn()
  send('m4', 'k')
  end(halves['b'] as Place, 'rollback')
  await turn()
  end(halves['d'] as Place, 'commit')
  await turn()
  expect(world.seen()).toEqual(['a', 'm1', 'm2', 'c', 'd', 'm3', 'm4'])
  for (let records = 0; records <= log.entries.length; records++) {
    const left = log.prefix(records)
    const bodies = (topic: string) => left.messages(topic).map(({ body }) => body.toString())
    const halvesThere = bodies(SystemTopic.HALF)
    const expected = ['a', 'm1', 'm2', 'c', 'd', 'm3', 'm4'].filter(
      (one) => halvesThere.includes(one) || bodies(SystemTopic.HELD).includes(one),
    )
    const again = orderOnScriptLog({ log: left })
    for (const name of ['d', 'b', 'c', 'a']) {
      if (halvesThere.includes(name)) again.end(halves[name] as Place, name === 'b' ? 'rollback' : 'commit')
      await again.turn()
    }
    await again.turn()
    expect([records, again.seen()]).toEqual([records, expected])
    expect(again.order.stats().held).toBe(0)
  }
})

test('chance: cut and restarted anywhere, with and without a checkpoint, nothing is lost, doubled or out of order', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const below = chance(seed)
    let world = orderOnScriptLog({ log: new ScriptLog(testClock(seed)) })
    const keys = ['k1', 'k2']
    const places = new Map<string, { key: string; at: number; acknowledged: boolean; rolledBack: boolean }>()
    const open = new Map<string, Place>()
    let n = 0
    for (let step = 0; step < 60; step++) {
      const key = keys[below(2)] as string
      const roll = below(12)
      const name = `${n++}`
      if (roll < 4) {
        const { completion, physicalOffset } = world.send(name, key)
        const place = { key, at: physicalOffset, acknowledged: false, rolledBack: false }
        places.set(name, place)
        const sentTo = world
        completion.stored = () => {
          place.acknowledged ||= sentTo === world
        }
      } else if (roll < 7) {
        const half = world.half(name, key)
        places.set(name, { key, at: half.physicalOffset, acknowledged: false, rolledBack: false })
        open.set(name, half)
      } else if (roll < 10) {
        const [chosen] = [...open.keys()].slice(below(open.size || 1))
        if (chosen !== undefined) {
          const decision = below(2) === 0 ? 'commit' : 'rollback'
          world.end(open.get(chosen) as Place, decision)
          open.delete(chosen)
        }
      } else if (roll === 10) {
        if (below(2) === 0) await world.turn()
        if (below(2) === 0) world.log.takeCheckpoint(world.service, world.order, world.delay)
      } else if (below(2) === 0) {
        const durable = world.log.entries.filter(({ offset }) => offset < world.log.durableOffset).length
        const left = world.log.prefix(durable + below(world.log.entries.length - durable + 1))
        world.close()
        world = orderOnScriptLog({ log: left })
        open.clear()
        for (const { messageId, physicalOffset, queueOffset } of world.service.list())
          open.set(messageId, { physicalOffset, queueOffset })
      }
    }
    await world.turn()
    for (const half of open.values()) {
      world.end(half, below(2) === 0 ? 'commit' : 'rollback')
      await world.turn()
    }
    for (let i = 0; i < 5; i++) await world.turn()
    const seen = world.seen()
    expect([seed, new Set(seen).size]).toEqual([seed, seen.length])
    expect([seed, world.order.stats().held, world.order.isActive]).toEqual([seed, 0, false])
    for (const key of keys) {
      const own = seen.filter((name) => places.get(name)?.key === key)
      const sorted = own.toSorted(
        (x, y) => (places.get(x)?.at ?? 0) - (places.get(y)?.at ?? 0) || Number(x) - Number(y),
      )
      expect([seed, own]).toEqual([seed, sorted])
    }
    const there = new Set(world.log.messages(SystemTopic.HELD).map(({ body }) => body.toString()))
    for (const name of there) expect([seed, seen.includes(name)]).toEqual([seed, true])
    for (const [name, { acknowledged }] of places)
      if (acknowledged) expect([seed, name, seen.includes(name)]).toEqual([seed, name, true])
    world.close()
  }
})
