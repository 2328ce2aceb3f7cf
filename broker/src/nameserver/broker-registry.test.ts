import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { BrokerRegistry, type RegistryOptions } from './broker-registry.ts'
import type { RoutedTopic } from './local-broker.ts'
import { decodeRegistration, encodeRegistration } from './registration.ts'

const version = { counter: 1, stateVersion: 0, timestamp: 1 }
const topics = (count: number, prefix = 't'): RoutedTopic[] =>
  Array.from({ length: count }, (_, n) => {
    return { name: `${prefix}${n}`, perm: 6, readQueues: 1, writeQueues: 1, sysFlag: 0 }
  })
const who = (n: number) => ({ clusterName: 'C', brokerName: `b${n}`, brokerAddr: `10.0.0.1:${n}`, brokerId: 0 })
const traits = { haServerAddr: '' }
const stranger = {}

function registryOf(options: Partial<RegistryOptions> = {}): BrokerRegistry {
  return new BrokerRegistry({ clock: new VirtualClock({ seed: 1 }), ...options })
}
function register(registry: BrokerRegistry, n: number, list: RoutedTopic[] = topics(2)): void {
  registry.register(who(n), traits, { dataVersion: version, topics: list, skipped: 0 }, stranger)
}

test('strangers who register nonsense are refused beyond a number of brokers, those that are there go on', () => {
  const registry = registryOf({ brokersMax: 3 })
  for (let n = 1; n <= 3; n++) register(registry, n)
  expect(() => register(registry, 4)).toThrowError(expect.objectContaining({ code: 'SYSTEM_BUSY' }))
  register(registry, 2)
  registry.unregister(who(1))
  register(registry, 4)
  expect(registry.brokers().map(({ brokerName }) => brokerName)).toEqual(['b2', 'b3', 'b4'])
})

test('topics are refused beyond an amount of memory, which is free again when their broker goes', () => {
  const registry = registryOf({ bytesMax: 100_000 })
  register(registry, 1, topics(500))
  expect(() => register(registry, 2, topics(500))).toThrowError(expect.objectContaining({ code: 'SYSTEM_BUSY' }))
  expect(registry.find('b2')).toBeUndefined()
  // The same table again needs nothing.
  register(registry, 1, topics(500))
  const queueDatas = [{ brokerName: 'b1', perm: 6, readQueueNums: 1, topicSysFlag: 0, writeQueueNums: 1 }]
  expect(() => {
    for (let n = 0; n < 1_000; n++) registry.registerTopic(`made-up-${n}`, queueDatas)
  }).toThrowError(expect.objectContaining({ code: 'SYSTEM_BUSY' }))
  registry.connectionClosed(stranger)
  register(registry, 2, topics(500))
  expect(registry.find('b2')?.topics()).toHaveLength(500)
})

test('a registry without brokers has no timer, and one with brokers none that is left behind by close', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const registry = registryOf({ clock })
  register(registry, 1)
  await clock.advance(200_000)
  expect(registry.brokers()).toEqual([])
  register(registry, 1)
  registry.close()
  expect(registry.brokers()).toEqual([])
})

test('a topic that cannot be in a route is left out, the others of the table are taken', () => {
  const good = topics(1)[0] as RoutedTopic
  const bad = [
    { ...good, name: '' },
    { ...good, name: 'a b' },
    { ...good, name: 'x\u0001' },
    { ...good, name: 'n'.repeat(513) },
    { ...good, name: 'many', readQueues: 65_536 },
    { ...good, name: 'minus', writeQueues: -1 },
    { ...good, name: 'half', perm: 1.5 },
  ]
  const body = encodeRegistration({ dataVersion: version, topics: [...bad, good] }, false)
  const decoded = decodeRegistration(body, { compressed: false, version: 479 })
  expect(decoded.topics).toEqual([good])
  expect(decoded.skipped).toBe(bad.length)
})

test('a name like __proto__ is a topic like any other', () => {
  const table = `{"topicConfigSerializeWrapper":{"topicConfigTable":{"__proto__":{"perm":6,"readQueueNums":1,"writeQueueNums":1}}}}`
  const { topics: found } = decodeRegistration(Buffer.from(table), { compressed: false, version: 479 })
  expect(found.map(({ name }) => name)).toEqual(['__proto__'])
})

test('every cut and many changed bytes of a compressed body are refused or read, never anything else', () => {
  const body = encodeRegistration({ dataVersion: version, topics: topics(5) }, true)
  const outcomes = new Set<string>()
  const attempt = (bytes: Buffer): void => {
    try {
      decodeRegistration(bytes, { compressed: true, version: 479 })
      outcomes.add('read')
    } catch (error) {
      outcomes.add((error as { code?: string }).code ?? String(error))
    }
  }
  for (let cut = 1; cut < body.length; cut++) attempt(body.subarray(0, cut))
  for (let at = 0; at < body.length; at++) {
    const changed = Buffer.from(body)
    changed[at] = (changed[at] ?? 0) ^ 0x55
    attempt(changed)
  }
  expect([...outcomes].filter((outcome) => outcome !== 'read')).toEqual(['BODY_INVALID'])
})

test('a small body that inflates to a huge one is refused', async () => {
  const { deflateSync } = await import('node:zlib')
  const bomb = deflateSync(Buffer.alloc(65 << 20))
  expect(bomb.length).toBeLessThan(1 << 20)
  expect(() => decodeRegistration(bomb, { compressed: true, version: 479 })).toThrowError(/does not inflate/)
})
