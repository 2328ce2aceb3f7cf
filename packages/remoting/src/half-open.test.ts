import { afterEach, expect, test } from 'vitest'
import type { Connection } from './index.ts'
import { RemotingClient, RemotingServer } from './index.ts'
import { MemoryNetwork, VirtualClock } from './simulation.ts'

const HANGS = 7
let clock: VirtualClock
let closing: { close(drainTimeoutMs?: number): Promise<void> }[] = []

afterEach(async () => {
  await clock.run(Promise.all(closing.map((one) => one.close(1))))
  closing = []
})

/** A server that answers everything but requests of code HANGS, and a client of it. */
async function pair(): Promise<{ network: MemoryNetwork; client: RemotingClient; address: string }> {
  clock = new VirtualClock()
  const network = new MemoryNetwork({ clock })
  const owner = {
    onRequest(connection: Connection, header: Parameters<Connection['reply']>[0] & { code: number }): void {
      if (header.code !== HANGS) connection.reply(header, { code: 0 })
    },
    onClosed: (): void => {},
  }
  const server = new RemotingServer({ clock, network, owner, host: '127.0.0.1', port: 0 })
  await clock.run(server.start())
  const client = new RemotingClient({ clock, network })
  closing = [client, server]
  return { network, client, address: server.address }
}

const codeOf = (asking: Promise<{ code: number }>): Promise<number | string> =>
  clock.run(
    asking.then(
      ({ code }) => code,
      (error: { code: string }) => error.code,
    ),
  )

test('a half-open connection is left when requests waited 5 s and nothing came, and the next one is answered', async () => {
  const { network, client, address } = await pair()
  expect(await codeOf(client.request(address, { code: 1 }, 3_000))).toBe(0)
  network.halfOpen(address)
  expect(await codeOf(client.request(address, { code: 1 }, 3_000))).toBe('REQUEST_TIMEOUT')
  expect(client.openConnection(address)).toBeDefined()
  expect(await codeOf(client.request(address, { code: 1 }, 3_000))).toBe('REQUEST_TIMEOUT')
  expect(client.openConnection(address)).toBeUndefined()
  expect(await codeOf(client.request(address, { code: 1 }, 3_000))).toBe(0)
})

test('a server that answers other requests keeps its connection, however long one takes', async () => {
  const { client, address } = await pair()
  const first = await clock.run(client.connection(address))
  for (let n = 0; n < 5; n++) {
    const slow = codeOf(client.request(address, { code: HANGS }, 3_000))
    await clock.advance(2_000)
    expect(await codeOf(client.request(address, { code: 1 }, 3_000))).toBe(0)
    expect(await slow).toBe('REQUEST_TIMEOUT')
  }
  expect(client.openConnection(address)).toBe(first)
})
