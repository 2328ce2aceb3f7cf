import { describe, expect, test } from 'vitest'
import { peersOf, RecordingOwner, worlds } from '../../../test/kit/remoting-worlds.ts'
import type { Network } from './index.ts'

describe.each(worlds)('on $name', ({ make }) => {
  const world = make()
  const { serve, client } = peersOf(world)

  test('callers that come at once share one connection', async () => {
    const server = await serve()
    const one = client()
    const connections = await world.run(Promise.all(Array.from({ length: 5 }, () => one.connection(server.address))))
    expect(new Set(connections).size).toBe(1)
    expect(one.openConnection(server.address)).toBe(connections[0])
    expect(server.stats.connectionsOpened).toBe(1)
  })

  test('a failed attempt is not kept: the next one finds the server that came up', async () => {
    const server = await serve()
    const { port, address } = server
    await world.run(server.close())
    const one = client()
    const failed = await world.run(Promise.allSettled([one.connection(address), one.connection(address)]))
    for (const outcome of failed) expect(outcome).toMatchObject({ reason: { code: 'CONNECT_FAILED', retryable: true } })
    await serve(new RecordingOwner(), { port })
    expect((await world.run(one.connection(address))).isOpen).toBe(true)
  })

  test('a client that writes much at once reads the answers meanwhile: neither side waits for the other to read', async () => {
    const body = Buffer.alloc(32_768, 'x')
    const owner = new RecordingOwner((connection, header) => connection.reply(header, { code: 0, body }))
    const server = await serve(owner)
    const one = client()
    await world.run(one.connection(server.address))
    // Many times what both kernels and both bounds take, in each direction.
    const count = 1_800
    const answers = Array.from({ length: count }, () => one.request(server.address, { code: 1, body }, 60_000))
    await world.run(Promise.all(answers))
    expect(owner.requests).toHaveLength(count)
  }, 60_000)

  test('a lost connection is made anew, and the owner hears of the loss', async () => {
    const server = await serve()
    const owner = new RecordingOwner()
    const one = client({ owner })
    const first = await world.run(one.connection(server.address))
    for (const connection of server.connections) connection.destroy()
    await world.until(() => owner.closed.length === 1)
    expect(one.openConnection(server.address)).toBeUndefined()
    const second = await world.run(one.connection(server.address))
    expect(second).not.toBe(first)
    expect(await world.run(one.request(server.address, { code: 1 }, 1_000))).toMatchObject({ code: 0 })
    expect([first.id, second.id]).toEqual([1, 2])
  })

  test('a server that sends nothing for the idle timeout is left', async () => {
    const server = await serve(new RecordingOwner(() => {}))
    const one = client({ idleTimeoutMs: 30_000 })
    const connection = await world.run(one.connection(server.address))
    const asked = expect(connection.request({ code: 1 }, 60_000)).rejects.toMatchObject({
      code: 'CONNECTION_CLOSED',
      message: expect.stringContaining('nothing received for 30000 ms'),
    })
    for (let second = 0; second < 35; second += 5) {
      connection.oneway({ code: 2 })
      await world.clock.advance(5_000)
    }
    await asked
    expect(one.stats.closedBy.IDLE).toBe(1)
  })

  test('the timeout of a request covers connecting, and abort ends the wait', async () => {
    const never: Network = { listen: world.network.listen, connect: () => new Promise(() => {}) }
    const one = client({ network: never })
    const abort = new AbortController()
    const timedOut = expect(one.request('127.0.0.1:1', { code: 1 }, 700)).rejects.toMatchObject({
      code: 'REQUEST_TIMEOUT',
    })
    const aborted = expect(one.request('127.0.0.1:1', { code: 1 }, 700, abort.signal)).rejects.toMatchObject({
      code: 'ABORTED',
      cause: 'enough',
    })
    abort.abort('enough')
    await aborted
    await world.clock.advance(700)
    await timedOut
  })

  test('a closed client refuses, and closing twice is closing once', async () => {
    const server = await serve()
    const one = client()
    const connection = await world.run(one.connection(server.address))
    const asked = expect(connection.request({ code: 1 }, 1_000)).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
    const closed = one.close()
    expect(one.close()).toBe(closed)
    await world.run(closed)
    await asked
    expect(one.connections.size).toBe(0)
    await expect(one.connection(server.address)).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(one.request(server.address, { code: 1 }, 1_000)).rejects.toMatchObject({ code: 'CLOSED' })
    await world.until(() => server.connections.size === 0)
  })

  test('a client closed while it connects leaves no connection behind', async () => {
    const server = await serve()
    const one = client()
    const connecting = one.connection(server.address)
    const outcome = expect(world.run(connecting)).rejects.toMatchObject({ code: 'CLOSED' })
    await world.run(one.close())
    await outcome
    await world.until(() => server.stats.connectionsOpened === 1 && server.connections.size === 0)
  })

  test.each(['nonsense', '127.0.0.1', '127.0.0.1:99999', ':9876', '127.0.0.1:'])(
    '"%s" is not an address',
    async (address) => {
      await expect(client().connection(address)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
    },
  )

  test('the given language goes out with every request', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    await world.run(client({ language: 9 }).request(server.address, { code: 1 }, 1_000))
    expect(owner.requests[0]).toMatchObject({ language: 9, version: 441 })
  })
})
