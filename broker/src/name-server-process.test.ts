import { RemotingClient, systemClock, systemNetwork } from '@tandemmq/remoting'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { startBroker } from './broker.ts'
import { startNameServer } from './name-server-process.ts'
import { MemoryDisk } from './store/memory-disk.ts'

const codesOfBrokers = [10, 11, 34, 310]

test('a name server alone knows the brokers that registered and serves no code of a broker', async () => {
  const clock = new VirtualClock({ seed: 1 })
  const world = { clock, network: new MemoryNetwork({ clock, latencyMs: 1 }) }
  const nameServer = await clock.run(startNameServer({ ...world, port: 9876 }))
  const common = { ...world, dataDir: '/data', nameServers: nameServer.address, clusterName: 'C' }
  const brokers = []
  for (const [at, brokerName] of ['a', 'b'].entries()) {
    brokers.push(
      await clock.run(startBroker({ ...common, disk: new MemoryDisk(), brokerName, port: 10_911 + at * 10 })),
    )
  }
  expect(nameServer.brokerNames).toEqual(['a', 'b'])
  expect(nameServer.requestCodes).toEqual(expect.arrayContaining([103, 104, 105, 106]))
  expect(nameServer.requestCodes.filter((code) => codesOfBrokers.includes(code))).toEqual([])
  const client = new RemotingClient(world)
  const extFields = { topic: 'C' }
  const route = await clock.run(client.request(nameServer.address, { code: 105, version: 479, extFields }, 1_000))
  const { brokerDatas } = JSON.parse(route.body.toString()) as { brokerDatas: { brokerAddrs: object }[] }
  expect(brokerDatas.map(({ brokerAddrs }) => brokerAddrs)).toEqual([
    { 0: '127.0.0.1:10911' },
    { 0: '127.0.0.1:10921' },
  ])
  const refused = await clock.run(client.request(nameServer.address, { code: 310, extFields }, 1_000))
  expect([refused.code, refused.remark]).toEqual([3, expect.stringContaining('ask a broker')])
  const nowhere = await clock.run(client.request(nameServer.address, { code: 1002, extFields }, 1_000))
  expect([nowhere.code, nowhere.remark]).toEqual([3, expect.stringContaining('no controller')])
  const settings = await clock.run(client.request(nameServer.address, { code: 319, extFields }, 1_000))
  expect(settings.body.toString()).toContain('brokerExpiryMs=120000\n')
  for (const broker of brokers) await clock.run(broker.close())
  expect(nameServer.brokerNames).toEqual([])
  await clock.run(client.close())
  await clock.run(nameServer.close())
})

test('settings outlive the process in a data directory and nowhere else', async () => {
  const disk = new MemoryDisk()
  const fields = { namespace: 'n', key: 'k' }
  for (const [dataDir, found] of [
    ['/ns', 0],
    [undefined, 22],
  ] as const) {
    const options = { port: 0, disk, ...(dataDir === undefined ? {} : { dataDir }) }
    const client = new RemotingClient({ clock: systemClock, network: systemNetwork })
    const first = await startNameServer(options)
    await client.request(first.address, { code: 100, extFields: { ...fields, value: 'v' } }, 1_000)
    expect((await client.request(first.address, { code: 101, extFields: fields }, 1_000)).extFields['value']).toBe('v')
    await first.close()
    const second = await startNameServer(options)
    expect((await client.request(second.address, { code: 101, extFields: fields }, 1_000)).code).toBe(found)
    await client.close(0)
    await second.close()
  }
})

test('an option that does not exist or cannot be is refused', async () => {
  await expect(startNameServer({ port: 70_000 })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  const wrong = { brokerName: 'x' } as object
  await expect(startNameServer(wrong)).rejects.toMatchObject({ code: 'OPTION_INVALID' })
})
