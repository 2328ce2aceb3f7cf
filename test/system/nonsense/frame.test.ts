import { once } from 'node:events'
import { createServer } from 'node:net'
import { Producer } from '@tandemmq/client'
import { encodeCommand, FrameSplitter, RequestCode, ResponseCode } from '@tandemmq/protocol'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { frameAround, NonsenseWorld, sendOf, u32 } from '../../kit/nonsense-world.ts'

// Lines 1 to 22 of the catalogue (README.md beside this file), without those that take time: see slow.test.ts.

// Written out: a limit that moves is a change of the protocol.
const FRAME_BYTES_MAX = 16_777_216
const CLUSTER = encodeCommand({ code: RequestCode.GET_BROKER_CLUSTER_INFO, opaque: 77 })
let world: NonsenseWorld

beforeAll(async () => {
  world = await NonsenseWorld.start()
})
afterEach(() => world.harmless())
afterAll(() => world.end())

test('C.3-1: a length of 0 ends its connection alone, and one line of the log says why', async () => {
  const lines = world.log.length
  await world.expectClosed(u32(0), 'FRAME_LENGTH_INVALID')
  await expect
    .poll(() => world.log.slice(lines))
    .toEqual([expect.stringMatching(/\[FRAME_LENGTH_INVALID\] length field 0/)])
})

test.each([1, 2, 3])('C.3-2: a length of %i ends its connection alone', async (length) => {
  await world.expectClosed(Buffer.concat([u32(length), Buffer.alloc(length)]), 'FRAME_LENGTH_INVALID')
})

test('C.3-3: a frame with a header of no bytes ends its connection alone', async () => {
  await world.expectClosed(Buffer.concat([u32(4), u32(0)]), 'HEADER_INVALID')
  await world.expectClosed(Buffer.concat([u32(4), u32(0x01000000)]), 'HEADER_INVALID')
})

test('C.3-4: a length of -1 ends its connection alone', async () => {
  await world.expectClosed(u32(0xffffffff), 'FRAME_LENGTH_INVALID')
})

test('C.3-5: the smallest negative length ends its connection alone', async () => {
  await world.expectClosed(u32(0x80000000), 'FRAME_LENGTH_INVALID')
})

test('C.3-6: a frame of exactly 16 MiB is read, one byte more ends its connection alone', async () => {
  const client = await world.raw()
  for (const [opaque, bytes] of [
    [7, FRAME_BYTES_MAX - 1],
    [8, FRAME_BYTES_MAX],
  ] as const) {
    const head = encodeCommand({ code: 999, opaque })
    const frame = Buffer.concat([head, Buffer.alloc(bytes - head.length)])
    frame.writeUInt32BE(bytes - 4, 0)
    client.write(frame)
    expect(await client.answer()).toMatchObject({ code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED, opaque })
  }
  await world.expectClosed(u32(FRAME_BYTES_MAX - 4 + 1), 'FRAME_LENGTH_INVALID')
  await world.expectClosed(Buffer.concat([u32(17_000_000 - 4), Buffer.alloc(17_000_000 - 4)]), 'FRAME_LENGTH_INVALID')
  client.write(u32(FRAME_BYTES_MAX - 4 + 1))
  expect(await client.answer()).toBeUndefined()
})

test('C.3-7: a promised length is not memory: 200 connections announce 16 MiB and send one byte', async () => {
  const before = process.memoryUsage().arrayBuffers
  for (let n = 0; n < 200; n++) {
    const client = await world.raw()
    client.write(Buffer.concat([u32(FRAME_BYTES_MAX - 4), Buffer.of(0)]))
  }
  await world.until(() => world.unfinishedBytes === 200 * 5)
  await world.bystander.roundsMore(3)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 << 20)
  expect(world.closedBy('RECEIVE_LIMIT')).toBe(0)
})

test('C.3-8: a header longer than its frame ends its connection alone', async () => {
  await world.expectClosed(Buffer.concat([u32(20), u32(17), Buffer.alloc(16)]), 'HEADER_INVALID')
})

test('C.3-9: a header length of 0xFFFFFF ends its connection alone', async () => {
  await world.expectClosed(Buffer.concat([u32(20), u32(0xffffff), Buffer.alloc(16)]), 'HEADER_INVALID')
})

test('C.3-10: each serialization from 2 to 255 ends its connection alone', async () => {
  for (let type = 2; type < 256; type++) await world.expectClosed(frameAround(type, '{"code":106}'), 'HEADER_INVALID')
})

test('C.3-11: binary bytes where JSON was announced end their connection alone', async () => {
  const binary = encodeCommand({ code: 106, serialization: 1 })
  binary[4] = 0
  await world.expectClosed(binary, 'HEADER_INVALID')
})

test('C.3-12: JSON where a binary header was announced ends its connection alone', async () => {
  await world.expectClosed(frameAround(1, '{}'), 'HEADER_INVALID')
  await world.expectClosed(frameAround(1, '{"code":106,"opaque":1,"flag":0}'), 'HEADER_INVALID')
})

test('C.3-13: what came before garbage is answered, what comes after it is not', async () => {
  for (let garbage = 0; garbage < 256; garbage += 15) {
    const client = await world.raw()
    client.write(Buffer.concat([CLUSTER, encodeCommand({ ...sendOf(), opaque: 78 }), Buffer.of(garbage), CLUSTER]))
    const answers = [await client.answer(), await client.answer()].toSorted(
      (a, b) => (a?.opaque ?? 0) - (b?.opaque ?? 0),
    )
    expect(answers).toMatchObject([
      { opaque: 77, code: 0 },
      { opaque: 78, code: 0 },
    ])
    expect(await client.answer()).toBeUndefined()
  }
})

test('C.3-14: HTTP on the port ends its connection alone', async () => {
  await world.expectClosed(Buffer.from('GET / HTTP/1.1\r\nHost: broker\r\n\r\n'), 'FRAME_LENGTH_INVALID')
})

// A ClientHello as openssl sends it begins so; what follows is not looked at.
const CLIENT_HELLO = Buffer.from('16030100c8010000c40303', 'hex')

test('C.3-15: a TLS greeting on the port ends its connection alone', async () => {
  await world.expectClosed(Buffer.concat([CLIENT_HELLO, Buffer.alloc(200)]), 'FRAME_LENGTH_INVALID')
})

test('C.3-15: the SDK on a port that answers with a TLS alert gets an error with a code, at once', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(Buffer.from('15030100020246', 'hex'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await using producer = new Producer({
    nameServers: `127.0.0.1:${port}`,
    group: 'p',
    sendTimeoutMs: 1_000,
    retriesMax: 0,
  })
  await producer.start()
  const code = expect.stringMatching(/^(CONNECTION_CLOSED|CONNECT_FAILED|ROUTE_NOT_FOUND)$/)
  await expect(producer.send({ topic: 't', body: 'x' })).rejects.toMatchObject({ code, retryable: true })
  server.close()
})

test.each([
  ['SSH', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['Redis', '*1\r\n$4\r\nPING\r\n'],
  ['HTTP/2 and gRPC', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
])('C.3-16: the greeting of %s ends its connection alone', async (_name, greeting) => {
  await world.expectClosed(Buffer.from(greeting), 'FRAME_LENGTH_INVALID')
})

test.each([0, 1] as const)(
  'C.3-19: a frame split at any byte is one frame (serialization %i)',
  async (serialization) => {
    const client = await world.raw()
    const frame = encodeCommand({ ...sendOf(), opaque: 9, version: 441, serialization })
    for (let cut = 1; cut < frame.length; cut++) {
      client.write(frame.subarray(0, cut))
      await world.until(() => world.unfinishedBytes === cut)
      client.write(frame.subarray(cut))
      expect(await client.answer()).toMatchObject({ code: ResponseCode.SUCCESS, opaque: 9 })
    }
  },
)

test('C.3-20: who ends its side after the length is forgotten', async () => {
  const client = await world.raw()
  client.socket.end(u32(500))
  await client.closed
})

test('C.3-20: who ends its side after a whole request still gets the answer', async () => {
  const client = await world.raw()
  client.socket.end(CLUSTER)
  expect(await client.answer()).toMatchObject({ opaque: 77, code: ResponseCode.SUCCESS })
  await client.closed
})

test('C.3-21: a reset in the middle of a body leaves nothing behind', async () => {
  const frame = encodeCommand(sendOf({}, Buffer.alloc(1_000_000)))
  for (let n = 0; n < 20; n++) {
    const client = await world.raw()
    client.write(frame.subarray(0, 500_000))
    await world.until(() => world.unfinishedBytes > 0)
    client.socket.resetAndDestroy()
    await world.until(() => world.unfinishedBytes === 0)
  }
})

test('C.3-22: 100,000 requests whose answers nobody reads wait in the network, not in the broker', async () => {
  const { socket } = await world.raw()
  socket.removeAllListeners('data')
  let answers = 0
  const splitter = new FrameSplitter({ onFrame: () => answers++ })
  socket.on('data', (bytes: Buffer) => splitter.push(bytes, 0, bytes.length)).pause()
  const block = Buffer.concat(Array.from({ length: 1_000 }, () => CLUSTER))
  let written = 0
  for (let n = 0; n < 100; n++) socket.write(block, () => written++)
  await world.until(() => world.stats().remoting.outputBytes > 4 << 20)
  await world.bystander.roundsMore(20)
  // Reading stops at 4 MiB of unread answers; one read of 64 KiB may add a few hundred KiB of answers to that.
  expect(world.stats().remoting.outputBytes).toBeLessThan(6 << 20)
  expect(written).toBeLessThan(100)
  socket.resume()
  await world.until(() => answers === 100_000)
})
