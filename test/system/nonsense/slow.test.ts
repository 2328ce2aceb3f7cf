import { encodeCommand, RequestCode } from '@tandemmq/protocol'
import { afterEach, expect, test } from 'vitest'
import { pullOf, sendOf, TimedNonsenseWorld } from '../../kit/nonsense-world.ts'
import type { RawPeer } from '../../kit/remoting-worlds.ts'

// What takes time, on a virtual clock. The bystander sends once a second of it.

let world: TimedNonsenseWorld
afterEach(async () => {
  expect(world.stats().requests.failed).toBe(0)
  await world.end()
})

const frame = encodeCommand({ code: RequestCode.GET_BROKER_CLUSTER_INFO })

test.each([
  ['the zeros of a length that never counts', Buffer.alloc(100), 'FRAME_LENGTH_INVALID'],
  ['a request, byte by byte', frame, 'FRAME_TIMEOUT'],
  ['the body of a send, byte by byte', encodeCommand(sendOf({}, Buffer.alloc(1_000))), 'FRAME_TIMEOUT'],
] as const)('C.3-17: %s, one byte each 10 s, ends after 30 s', async (_name, bytes, reason) => {
  world = await TimedNonsenseWorld.start()
  const { rounds } = world
  const before = world.stats().connections
  const peers: RawPeer[] = []
  for (let n = 0; n < 50; n++) peers.push(await world.connect())
  const lines = world.log.length
  for (let at = 0; at < 3; at++) {
    for (const peer of peers) peer.send(bytes.subarray(at, at + 1))
    await world.clock.advance(9_900)
  }
  expect(peers.filter(({ isClosed }) => isClosed)).toHaveLength(0)
  for (const peer of peers) peer.send(bytes.subarray(3, 4))
  await world.clock.advance(2_500)
  expect(peers.filter(({ isClosed }) => isClosed)).toHaveLength(50)
  expect(world.stats().remoting.closedBy[reason]).toBe(50)
  expect(world.stats()).toMatchObject({ connections: before, remoting: { receivedUnfinishedBytes: 0 } })
  // Rate-limited: fifty peers are not fifty lines.
  const noted = world.log.slice(lines)
  expect(noted.length).toBeGreaterThan(0)
  expect(noted.length).toBeLessThanOrEqual(20)
  expect(noted[0]).toContain(`[${reason}]`)
  expect(world.rounds).toBeGreaterThan(rounds + 25)
})

test('C.3-18: 10,000 connections that send nothing cost little, are closed after 120 s, and make room again', async () => {
  world = await TimedNonsenseWorld.start({ connectionsMax: 10_010 })
  const before = world.stats().connections
  const heap = process.memoryUsage()
  const connecting = Promise.all(Array.from({ length: 10_000 }, () => world.connectLater()))
  const silent = await world.clock.run(connecting, 60_000)
  await world.clock.advance(10)
  expect(world.stats().connections).toBe(before + 10_000)
  const after = process.memoryUsage()
  // Both ends of the connections live in this process.
  expect(after.arrayBuffers - heap.arrayBuffers).toBeLessThan(32 << 20)
  expect(after.heapUsed - heap.heapUsed).toBeLessThan(150 << 20)
  for (let n = world.stats().connections; n < 10_010; n++) silent.push(await world.connect())
  const refused = await world.connect()
  await world.clock.advance(10)
  expect(refused.isClosed).toBe(true)
  expect(world.stats().remoting.connectionsRefused).toBe(1)
  const { rounds } = world
  await world.clock.advance(130_000)
  expect(silent.filter(({ isClosed }) => !isClosed)).toHaveLength(0)
  expect(world.stats().remoting.closedBy.IDLE).toBe(silent.length)
  expect(world.rounds).toBeGreaterThan(rounds + 100)
  const late = await world.connect()
  late.send(frame)
  await world.clock.advance(10)
  expect(late.receivedBytes).toBeGreaterThan(0)
  late.socket.destroy()
})

test('C.3-47: a pull that wants to wait for ever is answered after half a minute', async () => {
  world = await TimedNonsenseWorld.start()
  const peer = await world.connect()
  peer.send(encodeCommand(sendOf({ b: 'still' })))
  await world.clock.advance(10)
  const { receivedBytes } = peer
  const { parked } = world.stats().pulls
  const forever = { sysFlag: '6', suspendTimeoutMillis: '9223372036854775807', queueOffset: '1' }
  peer.send(encodeCommand(pullOf({ ...forever, topic: 'still' })))
  await world.clock.advance(29_000)
  expect(world.stats().pulls.parked).toBe(parked + 1)
  expect(peer.receivedBytes).toBe(receivedBytes)
  await world.clock.advance(1_500)
  expect(peer.receivedBytes).toBeGreaterThan(receivedBytes)
  expect(world.stats().pulls.parked).toBe(parked)
  peer.socket.destroy()
})
