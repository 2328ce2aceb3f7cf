import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { RawPeer } from '../../../test/kit/remoting-worlds.ts'
import { parseAddress } from './address.ts'
import { createSystemNetwork, systemNetwork } from './system-network.ts'
import type { StreamSocket } from './network.ts'

async function pair(
  listenHost: string,
  dialled: string,
  onread = true,
): Promise<{ near: RawPeer; far: RawPeer; close(): Promise<void> }> {
  const network = createSystemNetwork({ onread })
  let accepted: ((peer: RawPeer) => void) | undefined
  const far = new Promise<RawPeer>((resolve) => {
    accepted = resolve
  })
  const listener = await network.listen({ host: listenHost, port: 0 }, (socket) => accepted?.(new RawPeer(socket)))
  const near = new RawPeer(await network.connect({ host: dialled, port: listener.port, timeoutMs: 2_000 }))
  return { near, far: await far, close: () => listener.close() }
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100_000 && !condition(); turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(condition()).toBe(true)
}

test.each([true, false])('IPv6 connects, onread %s', async (onread) => {
  const { near, far, close } = await pair('::1', '::1', onread)
  expect([far.socket.remoteAddress, far.socket.localAddress, near.socket.remoteAddress]).toEqual(['::1', '::1', '::1'])
  near.send(Buffer.from('over six'))
  await until(() => far.received.toString() === 'over six')
  near.socket.destroy()
  await until(() => far.isClosed)
  await close()
})

test('an IPv4 peer of a dual-stack listener shows its IPv4 address', async () => {
  const { near, far, close } = await pair('::', '127.0.0.1')
  expect([far.socket.remoteAddress, far.socket.localAddress]).toEqual(['127.0.0.1', '127.0.0.1'])
  near.socket.destroy()
  await until(() => far.isClosed)
  await close()
})

test.each([true, false])('a peer that ends its stream ends the connection, onread %s', async (onread) => {
  const { near, far, close } = await pair('127.0.0.1', '127.0.0.1', onread)
  near.send(Buffer.from('bye'))
  near.socket.end()
  await until(() => far.isClosed && near.isClosed)
  expect(far.received.toString()).toBe('bye')
  expect([near.error, far.error]).toEqual([undefined, undefined])
  far.send(Buffer.from('too late'))
  await close()
})

test.each([true, false])(
  'connections reset before or while they are accepted disturb nobody, onread %s',
  async (onread) => {
    const network = createSystemNetwork({ onread })
    const far: RawPeer[] = []
    const listener = await network.listen({ host: '127.0.0.1', port: 0 }, (socket) => far.push(new RawPeer(socket)))
    for (let round = 0; round < 10; round++) {
      const storm = Array.from({ length: 30 }, () => connect({ host: '127.0.0.1', port: listener.port }))
      for (const socket of storm) socket.on('error', () => {})
      await Promise.all(storm.map((socket) => once(socket, 'connect')))
      for (const socket of storm) socket.resetAndDestroy()
    }
    const near = new RawPeer(await network.connect({ host: '127.0.0.1', port: listener.port, timeoutMs: 2_000 }))
    near.send(Buffer.from('calm'))
    await until(() => far.at(-1)?.received.toString() === 'calm')
    await until(() => far.filter(({ isClosed }) => !isClosed).length === 1)
    near.socket.destroy()
    await until(() => far.every(({ isClosed }) => isClosed))
    await listener.close()
  },
)

test('a listener that closes leaves open sockets alone', async () => {
  const { near, far, close } = await pair('127.0.0.1', '127.0.0.1')
  await close()
  far.send(Buffer.from('still here'))
  await until(() => near.received.toString() === 'still here')
  near.socket.destroy()
  await until(() => far.isClosed)
})

test('onDrain comes once, when everything left, and nothing of it was changed', async () => {
  const { near, far, close } = await pair('127.0.0.1', '127.0.0.1')
  const pendingAtDrain: number[] = []
  far.socket.handler.onDrain = () => void pendingAtDrain.push(far.socket.pendingBytes)
  near.socket.pause()
  const bytes = Buffer.alloc(20_000_000, 'pattern')
  far.socket.write(bytes, 0, 12_000_000)
  far.socket.write(bytes, 12_000_000, bytes.length)
  expect(far.socket.pendingBytes).toBeGreaterThan(0)
  const hold: Buffer[] = []
  let received = 0
  near.socket.handler.onData = (part, start, end) => {
    hold.push(Buffer.from(part.subarray(start, end)))
    received += end - start
  }
  near.socket.resume()
  await until(() => received === bytes.length && pendingAtDrain.length > 0)
  expect(pendingAtDrain).toEqual([0])
  expect(Buffer.concat(hold).equals(bytes)).toBe(true)
  expect(far.socket.pendingBytes).toBe(0)
  near.socket.destroy()
  await until(() => far.isClosed)
  await close()
})

test('a port nobody listens on and a host that does not exist are CONNECT_FAILED', async () => {
  const { close } = await systemNetwork.listen({ host: '127.0.0.1', port: 0 }, (socket: StreamSocket) =>
    socket.destroy(),
  )
  await close()
  for (const host of ['127.0.0.1', 'no-such-host.invalid']) {
    await expect(systemNetwork.connect({ host, port: 1, timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
    })
  }
  await expect(systemNetwork.listen({ host: '203.0.113.1', port: 0 }, () => {})).rejects.toMatchObject({
    code: 'CONNECT_FAILED',
  })
})

test('addresses are read with and without brackets', () => {
  expect(parseAddress('[::1]:9876')).toEqual({ host: '::1', port: 9876 })
  expect(parseAddress('::1:9876')).toEqual({ host: '::1', port: 9876 })
  expect(parseAddress('broker:1')).toEqual({ host: 'broker', port: 1 })
})
