import { decodeCommand, encodeCommand } from '@tandemmq/protocol'
import { describe, expect, test } from 'vitest'
import { peersOf, RawPeer, RecordingOwner, worlds } from '../../../test/kit/remoting-worlds.ts'
import type { RemotingServer } from './index.ts'

const FRAME = encodeCommand({ code: 1, opaque: 7, body: Buffer.alloc(100) })
const NONSENSE = Buffer.from('GET / HTTP/1.1\r\n\r\n')

describe.each(worlds)('on $name', ({ make }) => {
  const world = make()
  const { serve, raw } = peersOf(world)

  /** Held by the server for frames whose end is missing. */
  const heldBy = (server: RemotingServer): number => server.stats.receivedUnfinishedBytes

  test('a frame that trickles in is given 30 s from its first byte, however alive its sender is', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const slow = await raw(server)
    for (let sent = 0; sent < 6; sent++) {
      slow.send(FRAME.subarray(sent, sent + 1))
      await world.until(() => heldBy(server) === sent + 1)
      expect(slow.isClosed).toBe(false)
      await world.clock.advance(4_990)
    }
    await world.clock.advance(1_900)
    await world.until(() => slow.isClosed)
    expect(server.stats.closedBy).toMatchObject({ FRAME_TIMEOUT: 1, IDLE: 0 })
    expect(owner.closed).toEqual([expect.objectContaining({ code: 'FRAME_TIMEOUT' })])
    expect(heldBy(server)).toBe(0)
  })

  test('a frame that ends within its time is served, and the next one has its own 30 s', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const slow = await raw(server)
    slow.send(FRAME.subarray(0, 50))
    await world.until(() => heldBy(server) === 50)
    await world.clock.advance(29_900)
    // The end of one and the begin of the next in one piece: no moment without an unfinished frame.
    slow.send(Buffer.concat([FRAME.subarray(50), FRAME.subarray(0, 60)]))
    await world.until(() => owner.requests.length === 1 && heldBy(server) === 60)
    await world.clock.advance(29_000)
    slow.send(FRAME.subarray(60))
    await world.until(() => owner.requests.length === 2)
    await world.clock.advance(60_000)
    expect(slow.isClosed).toBe(false)
    slow.socket.destroy()
    await world.until(() => owner.closed.length === 1)
  })

  test('time in which this side does not read is not held against a frame', async () => {
    const owner: RecordingOwner = new RecordingOwner((connection) => {
      if (owner.requests.length === 1) connection.pauseReading()
    })
    const server = await serve(owner)
    const peer = await raw(server)
    peer.send(Buffer.concat([FRAME, FRAME.subarray(0, 20)]))
    await world.until(() => owner.requests.length === 1)
    await world.clock.advance(100_000)
    expect(peer.isClosed).toBe(false)
    owner.connections[0]?.resumeReading()
    await world.until(() => heldBy(server) === 20)
    await world.clock.advance(29_000)
    peer.send(FRAME.subarray(20))
    await world.until(() => owner.requests.length === 2)
    peer.socket.destroy()
    await world.until(() => owner.closed.length === 1)
  })

  test('unfinished frames of all connections share one limit, and the oldest ones make room', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner, { receiveBytesMax: 100_000 })
    const part = encodeCommand({ code: 1, body: Buffer.alloc(200_000) }).subarray(0, 40_000)
    const peers: RawPeer[] = []
    for (let n = 1; n <= 4; n++) {
      const peer = await raw(server)
      peers.push(peer)
      peer.send(part)
      await world.until(() => heldBy(server) === Math.min(n, 2) * 40_000 && server.connections.size === Math.min(n, 2))
      await world.clock.advance(10)
    }
    expect(peers.map(({ isClosed }) => isClosed)).toEqual([true, true, false, false])
    expect(server.stats.closedBy.RECEIVE_LIMIT).toBe(2)
    for (const peer of peers) peer.socket.destroy()
    await world.until(() => owner.closed.length === 4)
    expect(heldBy(server)).toBe(0)
  })

  test('what was asked before nonsense is answered, also in the same read, then the connection ends', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peer = await raw(server)
    peer.send(Buffer.concat([FRAME, FRAME, NONSENSE, FRAME]))
    await world.until(() => peer.isClosed)
    const answers = peer.received
    expect(answers.length).toBeGreaterThan(2 * FRAME.length)
    const size = answers.length / 2
    for (const at of [0, size]) {
      expect(decodeCommand(answers.subarray(at, at + size))).toMatchObject({ opaque: 7, code: 0 })
    }
    expect(owner.requests).toHaveLength(2)
    await world.until(() => owner.closed.length === 1)
    expect(owner.closed).toEqual([expect.objectContaining({ code: 'FRAME_LENGTH_INVALID' })])
    expect(server.stats.closedBy.FRAME_LENGTH_INVALID).toBe(1)
  })

  test('who sends nonsense and never fetches its answers is ended after a second', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peer = await raw(server)
    peer.socket.pause()
    const large = encodeCommand({ code: 1, body: Buffer.alloc(3_000_000) })
    peer.send(Buffer.concat([large, NONSENSE]))
    await world.until(() => server.stats.closedBy.FRAME_LENGTH_INVALID === 1)
    await world.clock.advance(900)
    expect(owner.closed).toHaveLength(0)
    await world.clock.advance(200)
    await world.until(() => owner.closed.length === 1)
    peer.socket.destroy()
  })
})
