import { expect, test } from 'vitest'
import { echo, RecordingOwner } from '../../../test/kit/remoting-worlds.ts'
import { RemotingClient, RemotingServer, sleep } from './index.ts'
import { MemoryNetwork, VirtualClock } from './simulation.ts'

const ADDRESS = '10.0.0.1:9876'

/** Three clients ask for half a minute while connections are reset, cut, refused and left half-open; what happened, line by line. */
async function history(seed: number): Promise<string[]> {
  const clock = new VirtualClock({ seed })
  const network = new MemoryNetwork({ clock, windowBytes: 20_000 })
  const lines: string[] = []
  const owner = new RecordingOwner((connection, header) => {
    lines.push(`${clock.monotonic()} server ${connection.remoteAddress} ${header.code}`)
    echo(connection, header)
  })
  const server = new RemotingServer({ clock, network, owner, host: '10.0.0.1', port: 9876, idleTimeoutMs: 5_000 })
  await clock.run(server.start())
  const clients = [1, 2, 3].map((n) => ({
    n,
    client: new RemotingClient({ clock, network: network.host(`10.0.1.${n}`) }),
  }))
  const asking = clients.map(async ({ n, client }) => {
    for (let turn = 0; clock.monotonic() < 30_000; turn++) {
      const code = n * 10_000 + turn
      const body = Buffer.alloc(Math.floor(clock.random() * 20_000), code)
      try {
        const answer = await client.request(ADDRESS, { code, body, extFields: { code } }, 2_000)
        expect(answer.extFields.code).toBe(String(code))
        expect(answer.body.equals(body)).toBe(true)
        lines.push(`${clock.monotonic()} client ${code} answered`)
      } catch (error) {
        lines.push(`${clock.monotonic()} client ${code} ${(error as { code: string }).code}`)
        for (const connection of client.connections) connection.destroy()
      }
      await sleep(clock, clock.random() * 200)
    }
  })
  const faults = (async () => {
    while (clock.monotonic() < 27_000) {
      await sleep(clock, 1_000 + clock.random() * 4_000)
      const target = clock.random() < 0.5 ? ADDRESS : `10.0.1.${1 + Math.floor(clock.random() * 3)}`
      const fault = (['cut', 'reset', 'halfOpen', 'refuse', 'delay'] as const)[Math.floor(clock.random() * 5)] ?? 'cut'
      lines.push(`${clock.monotonic()} ${fault} ${target}`)
      if (fault === 'delay') network.delay(target, 50)
      else network[fault](target)
      // Open connections outlive a refusal: only who must come back meets it.
      if (fault === 'refuse') network.reset(target)
      await sleep(clock, clock.random() * 3_000)
      network.heal(target)
    }
  })()
  await clock.run(Promise.all([...asking, faults]))
  const last = await clock.run(
    clients[0]?.client.request(ADDRESS, { code: 1 }, 2_000) ?? Promise.reject(new Error('none')),
  )
  expect(last.code).toBe(0)
  await clock.run(Promise.all(clients.map(({ client }) => client.close())))
  await clock.advance(10_000)
  expect(server.connections.size).toBe(0)
  await clock.run(server.close())
  return lines
}

test('half a minute of faults runs the same way twice from one seed, differently from another', async () => {
  const first = await history(11)
  expect(first.filter((line) => line.endsWith('answered')).length).toBeGreaterThan(100)
  expect(first.some((line) => line.endsWith('REQUEST_TIMEOUT'))).toBe(true)
  expect(first.some((line) => line.endsWith('CONNECT_FAILED'))).toBe(true)
  expect(await history(11)).toEqual(first)
  expect(await history(12)).not.toEqual(first)
})
