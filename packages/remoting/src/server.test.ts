import { decodeCommand, encodeCommand } from '@tandemmq/protocol'
import { describe, expect, test } from 'vitest'
import { peersOf, RecordingOwner, worlds } from '../../../test/kit/remoting-worlds.ts'
import { type Network, RemotingServer, type StreamSocket } from './index.ts'

/** The bytes start like a frame with this header word and then hold `rest`. */
function frameOf(headerWord: number, rest: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + rest.length, 0)
  head.writeUInt32BE(headerWord, 4)
  return Buffer.concat([head, rest])
}

const length = (value: number): Buffer =>
  Buffer.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)

const nonsense: [string, Buffer, 'FRAME_LENGTH_INVALID' | 'HEADER_INVALID'][] = [
  ['length 0', length(0), 'FRAME_LENGTH_INVALID'],
  ['length 3', length(3), 'FRAME_LENGTH_INVALID'],
  ['length 4 with header length 0', frameOf(0, Buffer.alloc(0)), 'HEADER_INVALID'],
  ['length -1', length(0xffffffff), 'FRAME_LENGTH_INVALID'],
  ['length 0x80000000', length(0x80000000), 'FRAME_LENGTH_INVALID'],
  ['a 17 MB frame', length(17_000_000), 'FRAME_LENGTH_INVALID'],
  ['16 MiB + 1', length(16_777_217 - 4), 'FRAME_LENGTH_INVALID'],
  ['header longer than the frame', frameOf(10, Buffer.from('{}')), 'HEADER_INVALID'],
  ['header length 0xFFFFFF', frameOf(0xffffff, Buffer.from('{}')), 'HEADER_INVALID'],
  ['serialization type 2', frameOf(0x02000002, Buffer.from('{}')), 'HEADER_INVALID'],
  ['JSON that is none', frameOf(4, Buffer.of(0, 255, 1, 2)), 'HEADER_INVALID'],
  ['a binary header that is JSON', frameOf(0x01000002, Buffer.from('{}')), 'HEADER_INVALID'],
  [
    'a frame, then garbage',
    Buffer.concat([encodeCommand({ code: 1 }), Buffer.of(255, 1, 1, 1, 1)]),
    'FRAME_LENGTH_INVALID',
  ],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: broker\r\n\r\n'), 'FRAME_LENGTH_INVALID'],
  ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), 'FRAME_LENGTH_INVALID'],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.6\r\n'), 'FRAME_LENGTH_INVALID'],
  ['Redis', Buffer.from('*1\r\n$4\r\nPING\r\n'), 'FRAME_LENGTH_INVALID'],
]

describe.each(worlds)('on $name', ({ make }) => {
  const world = make()
  const { serve, client, raw } = peersOf(world)

  test.each(nonsense)('nonsense closes its own connection only: %s', async (_name, bytes, reason) => {
    const server = await serve(new RecordingOwner())
    const neighbour = await world.run(client({ idleTimeoutMs: 0 }).connection(server.address))
    const asked = neighbour.request({ code: 1, body: Buffer.alloc(100_000) }, 1_000)
    const peer = await raw(server)
    peer.send(bytes)
    await world.until(() => peer.isClosed)
    expect((await world.run(asked)).body).toHaveLength(100_000)
    expect(await world.run(neighbour.request({ code: 2 }, 1_000))).toMatchObject({ code: 0 })
    const counted = Object.entries(server.stats.closedBy).filter(([, count]) => count > 0)
    expect(counted).toEqual([[reason, 1]])
    expect(server.connections.size).toBe(1)
  })

  test('a promised length is not memory: 16 MiB announced and one byte sent', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const before = process.memoryUsage().arrayBuffers
    const peers = await Promise.all(Array.from({ length: 50 }, () => raw(server)))
    for (const peer of peers) peer.send(Buffer.concat([length(16_777_212), Buffer.of(0)]))
    await world.until(() => server.connections.size === 50)
    await world.clock.advance(100)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000)
    for (const peer of peers) peer.socket.destroy()
    await world.until(() => owner.closed.length === 50)
  })

  test('a silent connection is closed after the idle timeout, one that speaks is not', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner, { idleTimeoutMs: 120_000 })
    const silent = await raw(server)
    const speaking = await raw(server)
    await world.until(() => server.connections.size === 2)
    await world.clock.advance(119_000)
    expect(silent.isClosed).toBe(false)
    speaking.send(encodeCommand({ code: 1 }))
    await world.until(() => owner.requests.length === 1)
    await world.clock.advance(1_500)
    await world.until(() => silent.isClosed)
    expect(server.stats.closedBy.IDLE).toBe(1)
    await world.clock.advance(115_000)
    expect(speaking.isClosed).toBe(false)
    await world.clock.advance(15_000)
    await world.until(() => speaking.isClosed)
    expect(owner.closed.map((error) => error?.message)).toEqual(
      Array(2).fill(expect.stringContaining('nothing received')),
    )
  })

  test('connections above connectionsMax are closed at once, and there is room again when one leaves', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner, { connectionsMax: 2 })
    const [first] = [await raw(server), await raw(server)]
    await world.until(() => server.connections.size === 2)
    const third = await raw(server)
    await world.until(() => third.isClosed)
    expect(server.stats).toMatchObject({ connectionsOpened: 2, connectionsRefused: 1 })
    first?.socket.destroy()
    await world.until(() => server.connections.size === 1)
    const fourth = await raw(server)
    fourth.send(encodeCommand({ code: 1, opaque: 9 }))
    await world.until(() => fourth.receivedBytes > 0)
    expect(decodeCommand(fourth.received).opaque).toBe(9)
  })

  test('a slow reader is not read from above outputBytesHigh and goes on exactly where it stopped', async () => {
    const answer = Buffer.alloc(1_000_000)
    for (let at = 0; at < answer.length; at++) answer[at] = at % 251
    const owner = new RecordingOwner((connection, header) => connection.reply(header, { code: 0, body: answer }))
    const server = await serve(owner, { outputBytesHigh: 2_000_000, outputBytesMax: 100_000_000 })
    const peer = await raw(server)
    peer.socket.pause()
    const count = 60
    for (let opaque = 0; opaque < count; opaque++) {
      peer.send(encodeCommand({ code: 1, opaque, body: Buffer.alloc(65_536) }))
      await world.clock.advance(2)
    }
    // Each read brings at most one of these requests, so little more than the bound was answered.
    expect(owner.requests.length).toBeLessThan(count)
    const [connection] = server.connections
    expect(connection?.pendingBytes).toBeGreaterThan(2_000_000)
    expect(connection?.pendingBytes).toBeLessThan(4_500_000)
    const chunks: Buffer[] = []
    let received = 0
    peer.socket.handler.onData = (bytes, start, end) => {
      chunks.push(Buffer.from(bytes.subarray(start, end)))
      received += end - start
    }
    peer.socket.resume()
    const frameBytes = encodeCommand({ code: 0, flag: 1, version: 479, body: answer }).length
    await world.until(() => received >= count * frameBytes)
    const all = Buffer.concat(chunks)
    for (let at = 0, opaque = 0; opaque < count; opaque++) {
      const end = at + 4 + all.readInt32BE(at)
      const command = decodeCommand(all.subarray(at, end))
      expect(command.opaque).toBe(opaque)
      expect(command.body.equals(answer)).toBe(true)
      at = end
    }
    expect(connection?.pendingBytes).toBe(0)
  })

  test('a peer that does not read at all is destroyed above outputBytesMax', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner, { outputBytesHigh: 100_000, outputBytesMax: 1_000_000 })
    const peer = await raw(server)
    peer.socket.pause()
    await world.until(() => server.connections.size === 1)
    const [connection] = server.connections
    for (let n = 0; n < 400; n++) {
      if (!connection?.isOpen) break
      connection.oneway({ code: 40, body: Buffer.alloc(90_000) })
      await world.clock.settle()
    }
    await world.until(() => owner.closed.length === 1)
    expect(server.stats.closedBy.SLOW_READER).toBe(1)
    expect(owner.closed[0]).toMatchObject({ code: 'SLOW_READER' })
  })

  test('when all peers together take too little, the one with most waiting is closed and the others are served', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner, { outputBytesHigh: 4 << 20, outputBytesTotalMax: 24 << 20 })
    const peers = [await raw(server), await raw(server), await raw(server)]
    for (const peer of peers) peer.socket.pause()
    await world.until(() => server.connections.size === 3)
    const [slowest, second, third] = [...server.connections]
    const frame = encodeCommand({ code: 40, body: Buffer.alloc(1 << 20) })
    for (let n = 0; n < 6; n++) for (const connection of [second, third]) connection?.send(frame)
    let most = 0
    while (server.stats.closedBy.SLOW_READER === 0) {
      slowest?.send(frame)
      most = Math.max(most, server.stats.outputBytes)
      await world.clock.settle()
    }
    expect(slowest?.isOpen).toBe(false)
    expect(most).toBeLessThanOrEqual(24 << 20)
    expect(server.stats.outputBytes).toBeLessThanOrEqual(24 << 20)
    await world.until(() => owner.closed.length === 1)
    expect(owner.closed[0]).toMatchObject({ code: 'SLOW_READER' })
    for (const peer of peers) peer.socket.resume()
    await world.until(() => peers.slice(1).every(({ receivedBytes }) => receivedBytes === frame.length * 6))
    await world.until(() => server.stats.outputBytes === 0)
    expect(server.stats.closedBy.SLOW_READER).toBe(1)
  })

  test('making room closes those who take nothing, most waiting first, and spares those who do', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peers = [await raw(server), await raw(server), await raw(server)]
    for (const peer of peers) peer.socket.pause()
    await world.until(() => server.connections.size === 3)
    const frame = encodeCommand({ code: 40, body: Buffer.alloc(1 << 20) })
    const [most, some, fresh] = [...server.connections]
    const give = (connection: typeof most, count: number): void => {
      for (let n = 0; n < count; n++) connection?.send(frame)
    }
    give(most, 12)
    give(some, 8)
    await world.clock.advance(2_000)
    give(fresh, 20)
    if (fresh !== undefined) fresh.lastActiveAt = world.clock.monotonic()
    server.flushDirty()
    const before = server.stats.outputBytes
    server.relieveOutput(before - 1, 1_000)
    expect([most?.isOpen, some?.isOpen, fresh?.isOpen]).toEqual([false, true, true])
    server.relieveOutput(0, 1_000)
    expect([some?.isOpen, fresh?.isOpen]).toEqual([false, true])
    expect(server.stats.outputBytes).toBe(fresh?.pendingBytes)
    expect(server.stats.closedBy.SLOW_READER).toBe(2)
  })

  test('what very many answers of one turn hold is written before its end', async () => {
    const server = await serve(new RecordingOwner(), { outputBytesHigh: 4 << 20 })
    const peers = await Promise.all(Array.from({ length: 12 }, () => raw(server)))
    await world.until(() => server.connections.size === 12)
    const frame = encodeCommand({ code: 40, body: Buffer.alloc(3 << 20) })
    const collected = (): number => [...server.connections].reduce((sum, one) => sum + one.output.length, 0)
    let most = 0
    for (const connection of server.connections) {
      connection.send(frame)
      most = Math.max(most, collected())
    }
    // Six frames of 3 MiB, in buffers of 4 MiB.
    expect(most).toBeLessThanOrEqual(24 << 20)
    await world.until(() => peers.every(({ receivedBytes }) => receivedBytes === frame.length))
  })

  test('all frames of a turn leave in one write, earlier when flushDirty is called', async () => {
    const writes: number[] = []
    const network = countingWrites(world.network, writes)
    const server = await serve(new RecordingOwner(), { network })
    const peers = [await raw(server), await raw(server)]
    await world.until(() => server.connections.size === 2)
    const frame = encodeCommand({ code: 40 })
    for (const connection of server.connections) for (let n = 0; n < 100; n++) connection.send(frame)
    expect(writes).toEqual([])
    await world.until(() => peers.every(({ receivedBytes }) => receivedBytes === frame.length * 100))
    expect(writes).toEqual([frame.length * 100, frame.length * 100])
    for (const connection of server.connections) connection.send(frame)
    server.flushDirty()
    expect(writes.slice(2)).toEqual([frame.length, frame.length])
    server.flushDirty()
    await world.until(() => peers.every(({ receivedBytes }) => receivedBytes === frame.length * 101))
    expect(writes).toHaveLength(4)
  })

  test('while the kernel is full nothing is written, and all that waited leaves in one write', async () => {
    const writes: number[] = []
    const server = await serve(new RecordingOwner(), { network: countingWrites(world.network, writes) })
    const peer = await raw(server)
    peer.socket.pause()
    await world.until(() => server.connections.size === 1)
    const [connection] = server.connections
    const large = encodeCommand({ code: 40, body: Buffer.alloc(10_000_000, 'large') })
    const small = encodeCommand({ code: 41 })
    connection?.send(large)
    await world.clock.settle()
    for (let turn = 0; turn < 10; turn++) {
      connection?.send(small)
      await world.clock.settle()
    }
    expect(writes).toEqual([large.length])
    peer.socket.resume()
    await world.until(() => peer.receivedBytes === large.length + small.length * 10)
    expect(writes).toEqual([large.length, small.length * 10])
    expect(peer.received.equals(Buffer.concat([large, ...Array.from({ length: 10 }, () => small)]))).toBe(true)
  })

  test('close lets the output leave first', async () => {
    const body = Buffer.alloc(2_000_000, 'last words')
    const owner = new RecordingOwner((connection, header) => {
      connection.reply(header, { code: 0, body })
      connection.close()
    })
    const server = await serve(owner)
    const peer = await raw(server)
    peer.send(encodeCommand({ code: 1 }))
    await world.until(() => peer.isClosed)
    expect(decodeCommand(peer.received).body.equals(body)).toBe(true)
    expect(peer.error).toBeUndefined()
  })

  test('closing the server ends within the drain timeout even when a peer never reads', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peer = await raw(server)
    peer.socket.pause()
    await world.until(() => server.connections.size === 1)
    for (const connection of server.connections) connection.send(Buffer.alloc(30_000_000))
    const closed = server.close(2_000)
    expect(server.close()).toBe(closed)
    await world.clock.advance(1_900)
    expect(server.connections.size).toBe(1)
    await world.clock.advance(200)
    await world.run(closed)
    expect(owner.closed).toHaveLength(1)
    await expect(
      world.run(world.network.connect({ host: '127.0.0.1', port: server.port, timeoutMs: 500 })),
    ).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
    })
  })

  test('a peer that never closes its side is ended by the idle timeout, also when reading was paused', async () => {
    const owner = new RecordingOwner((connection) => {
      connection.pauseReading()
      connection.close()
    })
    const server = await serve(owner, { idleTimeoutMs: 10_000 })
    const peer = await raw(server)
    peer.send(encodeCommand({ code: 1 }))
    peer.socket.pause()
    await world.until(() => owner.requests.length === 1)
    await world.clock.advance(21_000)
    await world.until(() => owner.closed.length === 1)
  })

  test('a used port is reported as such, and the port is free again after close', async () => {
    const server = await serve(new RecordingOwner())
    const { port } = server
    await expect(serve(new RecordingOwner(), { port })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
    await world.run(server.close())
    const heir = await serve(new RecordingOwner(), { port })
    expect(heir.address).toBe(`127.0.0.1:${port}`)
  })

  test('an owner that throws when a connection closes harms nobody', async () => {
    const owner = new RecordingOwner()
    owner.onClosed = () => {
      throw new Error('a bug')
    }
    const server = await serve(owner)
    const peer = await raw(server)
    await world.until(() => server.connections.size === 1)
    peer.socket.destroy()
    await world.until(() => server.connections.size === 0)
    expect(server.stats.ownerErrors).toBe(1)
  })

  test('before start there is no address', () => {
    const { clock, network } = world
    const server = new RemotingServer({ clock, network, owner: new RecordingOwner(), host: '127.0.0.1', port: 0 })
    expect(() => server.address).toThrow(expect.objectContaining({ code: 'NOT_STARTED' }))
  })
})

/** Notes the size of every write of accepted sockets. */
function countingWrites(network: Network, writes: number[]): Network {
  return {
    connect: (where) => network.connect(where),
    listen: (where, onSocket) =>
      network.listen(where, (socket: StreamSocket) => {
        const write = socket.write.bind(socket)
        socket.write = (bytes, start, end) => {
          writes.push(end - start)
          write(bytes, start, end)
        }
        onSocket(socket)
      }),
  }
}
