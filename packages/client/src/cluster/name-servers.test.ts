import { VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { NameServers } from './name-servers.ts'

const addresses = ['a:1', 'b:1', 'c:1']

test('the one that answered is asked first, the others follow in their order', () => {
  const servers = new NameServers(addresses, new VirtualClock({ seed: 1 }))
  servers.answered('b:1')
  expect(servers.order()).toEqual(['b:1', 'c:1', 'a:1'])
  expect(servers.order()).toEqual(['b:1', 'c:1', 'a:1'])
})

test('clients begin at different ones', () => {
  const firsts = [1, 2, 3, 4, 5, 6, 7, 8].map(
    (seed) => new NameServers(addresses, new VirtualClock({ seed })).order()[0],
  )
  expect(new Set(firsts).size).toBeGreaterThan(1)
})

test('one that failed is asked last, for a time that grows to 30 s, and none is ever left out', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const servers = new NameServers(addresses, clock)
  servers.answered('a:1')
  for (const restMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    servers.failed('a:1')
    expect(servers.order()).toEqual(['b:1', 'c:1', 'a:1'])
    await clock.advance(restMs - 1)
    expect(servers.rests('a:1')).toBe(true)
    await clock.advance(1)
    expect(servers.order()).toEqual(['a:1', 'b:1', 'c:1'])
  }
  for (const address of addresses) servers.failed(address)
  expect(servers.order().toSorted()).toEqual(addresses)
  servers.answered('a:1')
  expect(servers.rests('a:1')).toBe(false)
})
