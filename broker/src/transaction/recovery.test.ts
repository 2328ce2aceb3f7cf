import { expect, test } from 'vitest'
import { IndexEntry } from '../index-entry.ts'
import { message, testClock } from '../log-test-kit.ts'
import type { LogWriter } from '../log-writer.ts'
import { MemoryDisk } from '../simulation.ts'
import { MessageStore } from '../store/index.ts'
import { type Outcome, TransactionService } from './index.ts'

function openOn(disk: MemoryDisk) {
  const clock = testClock()
  const log: LogWriter = {
    append: (topic, queueId, fields, completion) => {
      fields.topic = Buffer.from(topic)
      store.append(store.queue(topic, queueId), fields, new IndexEntry(), completion)
    },
    deliver: (topic, queueId, fields, completion) => log.append(topic, queueId, fields, completion),
    publish: (topic, queueId, fields, completion) => log.append(topic, queueId, fields, completion),
    read: (at) => store.read(at),
    readInto: (at, size, target, to) => store.readInto(at, size, target, to),
    durableOffset: 0,
  }
  const service = new TransactionService({ clock, log, ask: () => false })
  const store: MessageStore = MessageStore.open({
    disk,
    clock,
    directory: 'data',
    flush: 'sync',
    describe() {},
    onRecovered: (record, bytes) => service.replay(record, bytes),
  })
  service.start()
  return { clock, store, service }
}

test('a half committed into a topic that was deleted since is not pending again after a restart', async () => {
  const disk = new MemoryDisk()
  const before = openOn(disk)
  const places = ['m1', 'm2', 'm3'].map((id) => {
    const { fields, scan } = message('orders', id, { PGROUP: 'shop', UNIQ_KEY: id })
    before.service.appendHalf(fields, scan, 'shop', 1)
    return { physicalOffset: fields.physicalOffset, queueOffset: fields.queueOffset }
  })
  const outcomes: Outcome[] = []
  const end = (world: typeof before, n: number, decision: 'commit' | 'rollback') => {
    const request = { group: 'shop', physicalOffset: 0, queueOffset: 0, ...places[n], decision, fromCheck: false }
    world.service.end(request, (outcome) => outcomes.push(outcome))
  }
  end(before, 0, 'commit')
  end(before, 1, 'rollback')
  await before.clock.advance(100)
  expect(outcomes).toEqual(['committed', 'rolledBack'])
  await before.store.deleteTopic('orders')
  await before.store.close()
  const after = openOn(disk)
  expect(after.service.list().map(({ messageId }) => messageId)).toEqual(['m3'])
  end(after, 0, 'commit')
  end(after, 1, 'commit')
  expect(outcomes.slice(2)).toEqual(['committed', 'rolledBack'])
  expect(after.store.findQueue('orders', 0)?.maxOffset ?? 0).toBe(after.store.findQueue('orders', 0)?.minOffset ?? 0)
  end(after, 2, 'commit')
  await after.clock.advance(100)
  expect(outcomes.at(-1)).toBe('committed')
  await after.store.close()
})
