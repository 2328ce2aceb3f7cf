import { expect, test } from 'vitest'
import { RawPeer } from '../../../test/kit/remoting-worlds.ts'
import { MemoryNetwork, type MemoryNetworkOptions } from './memory-network.ts'
import type { Network } from './network.ts'
import { VirtualClock } from './virtual-clock.ts'

const ADDRESS = '127.0.0.1:9876'

interface Line {
  clock: VirtualClock
  network: MemoryNetwork
  near: RawPeer
  far: RawPeer
  accepted: RawPeer[]
}

async function line(options: Partial<MemoryNetworkOptions> & { seed?: number; from?: string } = {}): Promise<Line> {
  const clock = new VirtualClock({ seed: options.seed ?? 1 })
  const network = new MemoryNetwork({ clock, ...options })
  const accepted: RawPeer[] = []
  await network.listen({ host: '127.0.0.1', port: 9876 }, (socket) => accepted.push(new RawPeer(socket)))
  const near = await dial(clock, options.from ? network.host(options.from) : network)
  return { clock, network, near, far: accepted[0] as RawPeer, accepted }
}

async function dial(clock: VirtualClock, network: Network): Promise<RawPeer> {
  return new RawPeer(await clock.run(network.connect({ host: 'localhost', port: 9876, timeoutMs: 3_000 })))
}

async function history(seed: number): Promise<string[]> {
  const { clock, near, far } = await line({ seed })
  const seen: string[] = []
  far.socket.handler.onData = (_bytes, start, end) => void seen.push(`${clock.monotonic()} ${end - start}`)
  for (let n = 0; n < 20; n++) near.send(pattern(1_000))
  await clock.advance(100)
  return seen
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) % 256))
}

test('bytes arrive exactly, in order, in pieces that chance cuts', async () => {
  const { clock, near, far } = await line()
  const sizes: number[] = []
  const { onData } = far.socket.handler
  far.socket.handler.onData = (bytes, start, end) => {
    sizes.push(end - start)
    onData(bytes, start, end)
  }
  const sent = pattern(100_000)
  for (let at = 0; at < sent.length; at += 10_000) {
    near.send(sent.subarray(at, at + 10_000))
    await clock.advance(0.2)
  }
  await clock.advance(100)
  expect(far.received.equals(sent)).toBe(true)
  expect(new Set(sizes).size).toBeGreaterThan(3)
})

test('the same seed cuts and delays the same way, another seed does not', async () => {
  const first = await history(1)
  expect(await history(1)).toEqual(first)
  expect(await history(2)).not.toEqual(first)
})

test('the reader must copy: its buffer is overwritten after the call', async () => {
  const { clock, near, far } = await line()
  let kept: Buffer | undefined
  far.socket.handler.onData = (bytes, start, end) => {
    kept = bytes.subarray(start, end)
  }
  near.send(Buffer.of(1))
  await clock.advance(10)
  expect(kept).toHaveLength(1)
  expect(kept?.[0]).not.toBe(1)
})

test('a reader that pauses stops the writer, and the writer hears when all has left', async () => {
  const { clock, near, far } = await line({ windowBytes: 10_000 })
  let drains = 0
  near.socket.handler.onDrain = () => void drains++
  far.socket.pause()
  const sent = pattern(35_000)
  near.socket.write(sent, 0, sent.length)
  await clock.advance(1_000)
  expect([near.socket.pendingBytes, far.received.length, drains]).toEqual([25_000, 0, 0])
  far.socket.resume()
  await clock.advance(1_000)
  expect([near.socket.pendingBytes, drains]).toEqual([0, 1])
  expect(far.received.equals(sent)).toBe(true)
})

test('a buffer changed while its bytes wait shows in what arrives', async () => {
  const { clock, near, far } = await line({ windowBytes: 10 })
  const sent = Buffer.alloc(100, 1)
  near.socket.write(sent, 0, 100)
  sent.fill(2)
  await clock.advance(1_000)
  expect(far.received.includes(2)).toBe(true)
})

test('end delivers what was written and closes both sides without error', async () => {
  const { clock, network, near, far } = await line({ windowBytes: 100 })
  near.send(pattern(5_000))
  near.socket.end()
  near.send(Buffer.from('after the end'))
  await clock.runUntilIdle()
  expect(far.received.equals(pattern(5_000))).toBe(true)
  expect([near.isClosed, far.isClosed, near.error, far.error]).toEqual([true, true, undefined, undefined])
  expect(network.openSockets).toBe(0)
})

test('destroy closes the other side after the bytes under way', async () => {
  const { clock, near, far } = await line()
  near.send(Buffer.from('last'))
  const reason = new Error('mine')
  near.socket.destroy(reason)
  expect(near.isClosed).toBe(false)
  await clock.advance(100)
  expect([near.isClosed, near.error, far.isClosed, far.error]).toEqual([true, reason, true, undefined])
  expect(far.received.toString()).toBe('last')
})

test('a cut holds everything back, and what was sent arrives when it is healed', async () => {
  const { clock, network, near, far } = await line()
  network.cut(ADDRESS)
  near.send(Buffer.from('up'))
  far.send(Buffer.from('down'))
  await clock.advance(60_000)
  expect([near.received.length, far.received.length]).toEqual([0, 0])
  network.heal(ADDRESS)
  await clock.advance(10)
  expect([near.received.toString(), far.received.toString()]).toEqual(['down', 'up'])
})

test.each(['toServer', 'toClient'] as const)('a cut %s lets the other direction pass', async (direction) => {
  const { clock, network, near, far } = await line()
  network.cut(ADDRESS, direction)
  near.send(Buffer.from('up'))
  far.send(Buffer.from('down'))
  await clock.advance(1_000)
  const arrived = [near.received.toString(), far.received.toString()]
  expect(arrived).toEqual(direction === 'toServer' ? ['down', ''] : ['', 'up'])
})

test('the end of a stream is held back by a cut as well', async () => {
  const { clock, network, near, far } = await line()
  network.cut(ADDRESS)
  near.socket.destroy()
  await clock.advance(60_000)
  expect([near.isClosed, far.isClosed]).toEqual([true, false])
  network.heal(ADDRESS)
  await clock.advance(10)
  expect(far.isClosed).toBe(true)
})

test('connecting through a cut times out, and succeeds when it is healed in time', async () => {
  const { clock, network } = await line()
  network.cut(ADDRESS)
  await expect(dial(clock, network)).rejects.toMatchObject({
    code: 'CONNECT_FAILED',
    message: expect.stringContaining('3000 ms'),
  })
  clock.setTimer(1_000, () => network.heal(ADDRESS))
  expect((await dial(clock, network)).isClosed).toBe(false)
})

test('a host may be cut off alone', async () => {
  const { clock, network, near, far, accepted } = await line({ from: '10.0.0.7' })
  const other = await dial(clock, network)
  expect(far.socket.remoteAddress).toBe('10.0.0.7')
  network.cut('10.0.0.7')
  near.send(Buffer.from('cut off'))
  other.send(Buffer.from('fine'))
  far.send(Buffer.from('x'))
  await clock.advance(1_000)
  expect([far.received.length, near.received.length]).toEqual([0, 0])
  expect(accepted[1]?.received.toString()).toBe('fine')
})

test('refused connections fail until healed, and open ones stay', async () => {
  const { clock, network, near, far } = await line()
  network.refuse(ADDRESS)
  await expect(dial(clock, network)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  near.send(Buffer.from('open'))
  await clock.advance(10)
  expect(far.received.toString()).toBe('open')
  network.heal(ADDRESS)
  await dial(clock, network)
})

test('reset ends both sides with ECONNRESET and loses what was under way', async () => {
  const { clock, network, near, far } = await line()
  near.send(Buffer.from('lost'))
  network.reset(ADDRESS)
  await clock.advance(10)
  for (const end of [near, far]) expect(end).toMatchObject({ isClosed: true, error: { code: 'ECONNRESET' } })
  expect(far.received).toHaveLength(0)
  expect(network.openSockets).toBe(0)
})

test('half-open connections stay silent for ever, new ones work', async () => {
  const { clock, network, near, far } = await line()
  near.send(Buffer.from('under way'))
  network.halfOpen(ADDRESS)
  near.send(Buffer.from('lost'))
  far.socket.destroy()
  network.heal(ADDRESS)
  await clock.advance(600_000)
  expect([near.isClosed, near.received.length, far.received.length]).toEqual([false, 0, 0])
  expect((await dial(clock, network)).isClosed).toBe(false)
})

test('delay slows a listener down', async () => {
  const { clock, network, near, far } = await line({ latencyMs: 1 })
  network.delay(ADDRESS, 500)
  near.send(Buffer.from('slow'))
  await clock.advance(499)
  expect(far.received).toHaveLength(0)
  await clock.advance(3)
  expect(far.received.toString()).toBe('slow')
})

test('an address is taken once, free after close, and nobody there means refused', async () => {
  const clock = new VirtualClock()
  const network = new MemoryNetwork({ clock })
  await expect(dial(clock, network)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  const listener = await network.listen({ host: '0.0.0.0', port: 9876 }, () => {})
  await expect(network.listen({ host: '0.0.0.0', port: 9876 }, () => {})).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
  })
  await dial(clock, network)
  await listener.close()
  await expect(dial(clock, network)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
})
