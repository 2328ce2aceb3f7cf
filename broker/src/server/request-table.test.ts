import { RequestCode, TandemRequestCode } from '@tandemmq/protocol'
import { RemotingClient } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { startBroker } from '../broker.ts'
import { MemoryDisk } from '../store/memory-disk.ts'
import { assemble, requestTable } from './request-table.ts'

test('every request code of RocketMQ and of ours has exactly one row', () => {
  const codes = requestTable.map(({ code }) => code).toSorted((a, b) => a - b)
  const known: number[] = [...Object.values(RequestCode), ...Object.values(TandemRequestCode)]
  expect(codes).toEqual(known.toSorted((a, b) => a - b))
})

test('every row is either served or says with which code and what advice it is refused', () => {
  const odd = requestTable.filter(({ servedBy, refusal }) => (servedBy === undefined) === (refusal === undefined))
  expect(odd).toEqual([])
  for (const { code, refusal } of requestTable) {
    if (refusal !== undefined)
      expect(refusal.remark).toMatch(new RegExp(`^ request type ${code} not supported: \\w.{4,}`))
  }
})

test('a handler without a row and a row without a handler are mistakes', () => {
  expect(() => assemble({})).toThrow('SEND_MESSAGE 10 has no handler in "send"')
  const handler = (): void => {}
  const rooms: Record<string, Map<number, () => void>> = {}
  for (const { code, servedBy } of requestTable) {
    if (servedBy !== undefined) (rooms[servedBy] ??= new Map()).set(code, handler)
  }
  expect(assemble(rooms).size).toBe(requestTable.filter(({ servedBy }) => servedBy !== undefined).length)
  expect(() => assemble({ ...rooms, more: new Map([[13, handler]]) })).toThrow('"more" has handlers without a row')
})

test('a code the broker knows and does not serve is answered with what to do instead', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const world = { clock, network: new MemoryNetwork({ clock, latencyMs: 1 }) }
  const broker = await clock.run(startBroker({ ...world, disk: new MemoryDisk(), dataDir: '/data', port: 9876 }))
  const client = new RemotingClient(world)
  const ask = (code: number, serialization: 0 | 1) =>
    clock.run(client.request(broker.address, { code, serialization, extFields: {} }, 1_000))
  expect(broker.requestCodes).toEqual(
    requestTable.flatMap(({ code, servedBy }) => (servedBy === undefined ? [] : [code])).toSorted((a, b) => a - b),
  )
  for (const { code, refusal } of requestTable) {
    if (refusal === undefined) continue
    expect([code, await ask(code, 0)]).toEqual([code, expect.objectContaining(refusal)])
    if (code <= 32_767) expect([code, await ask(code, 1)]).toEqual([code, expect.objectContaining(refusal)])
  }
  expect(await ask(1_234, 0)).toMatchObject({ code: 3, remark: ' request type 1234 not supported' })
  await clock.run(client.close())
  await clock.run(broker.close())
})
