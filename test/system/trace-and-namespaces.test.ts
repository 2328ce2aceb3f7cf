import { decodeRecords, encodeProperties, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { startBroker } from '../../broker/src/broker.ts'
import type { BrokerOptions } from '../../broker/src/options.ts'
import { RawClient } from '../kit/raw-client.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

const TRACE = 'RMQ_SYS_TRACE_TOPIC'

async function withBroker(
  options: Omit<BrokerOptions, 'dataDir' | 'port'>,
  run: (client: RawClient, restart: () => Promise<RawClient>) => Promise<void>,
): Promise<void> {
  using directory = temporaryDirectory('names')
  let broker = await startBroker({ ...options, dataDir: directory.path, port: 0 })
  const clients = [await RawClient.connect(broker.address)]
  const restart = async (): Promise<RawClient> => {
    await broker.close()
    broker = await startBroker({ ...options, dataDir: directory.path, port: 0 })
    clients.push(await RawClient.connect(broker.address))
    return clients.at(-1)!
  }
  try {
    await run(clients[0]!, restart)
  } finally {
    for (const client of clients) client.end()
    await broker.close()
  }
}

const routeOf = async (client: RawClient, topic: string, more: Record<string, string> = {}): Promise<unknown> => {
  const answer = await client.ask({ code: RequestCode.GET_ROUTEINFO_BY_TOPIC, extFields: { topic, ...more } })
  return answer?.code === 0 ? JSON.parse(answer.body.toString()).queueDatas : answer?.code
}

const sendTo = (
  client: RawClient,
  topic: string,
  body: string,
  properties: Record<string, string> = {},
  more: Record<string, string> = {},
  serialization: 0 | 1 = 0,
): Promise<RemotingCommand | undefined> => {
  const extFields = {
    ...{ a: 'shop', b: topic, c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: false, ...more },
    i: encodeProperties(properties).toString(),
  }
  return client.ask({ code: RequestCode.SEND_MESSAGE_V2, serialization, extFields, body: Buffer.from(body) })
}

const pullFrom = async (
  client: RawClient,
  consumerGroup: string,
  topic: string,
  more: Record<string, string> = {},
  serialization: 0 | 1 = 0,
): Promise<string[]> => {
  const extFields = {
    ...{ consumerGroup, topic, queueId: 0, queueOffset: 0, maxMsgNums: 32, sysFlag: 4, commitOffset: 0 },
    ...{ suspendTimeoutMillis: 0, subscription: '*', subVersion: 0, expressionType: 'TAG', ...more },
  }
  const answer = await client.ask({ code: RequestCode.PULL_MESSAGE, serialization, extFields })
  return answer?.code === 0 ? decodeRecords(answer.body).map(({ body }) => body.toString()) : [`code ${answer?.code}`]
}

const found = async (client: RawClient, key: string): Promise<string[]> => {
  const window = { maxNum: 64, beginTimestamp: 0, endTimestamp: Number.MAX_SAFE_INTEGER }
  const answer = await client.ask({ code: RequestCode.QUERY_MESSAGE, extFields: { topic: TRACE, key, ...window } })
  return answer?.code === 0 ? decodeRecords(answer.body).map(({ body }) => body.toString()) : []
}

test('traces have a topic with one queue from the start, are found by each message they tell of, and survive a restart', () =>
  withBroker({}, async (client, restart) => {
    expect(await routeOf(client, TRACE)).toMatchObject([{ readQueueNums: 1, writeQueueNums: 1, perm: 6 }])
    // What AsyncTraceDispatcher of the Java client sends: many records in one body, all their ids and keys as keys.
    const sent = await sendTo(client, TRACE, 'Pub\x01…\x02SubBefore\x01…\x02', { KEYS: 'C0A8-1 C0A8-2 order-7' })
    expect(sent?.extFields).toMatchObject({ TRACE_ON: 'true', MSG_REGION: 'DefaultRegion', queueId: '0' })
    for (const key of ['C0A8-1', 'C0A8-2', 'order-7']) expect(await found(client, key)).toHaveLength(1)
    expect(await found(client, 'C0A8-3')).toEqual([])
    const again = await restart()
    expect(await found(again, 'C0A8-2')).toHaveLength(1)
    expect(await routeOf(again, TRACE)).toMatchObject([{ readQueueNums: 1 }])
  }))

test('stored messages say region and that they may be traced, as the answer to their sender does', () =>
  withBroker({}, async (client) => {
    await sendTo(client, 'orders', 'x')
    const extFields = { consumerGroup: 'g', topic: 'orders', queueId: 0, queueOffset: 0, maxMsgNums: 1, sysFlag: 4 }
    const more = { commitOffset: 0, suspendTimeoutMillis: 0, subscription: '*', subVersion: 0 }
    const answer = await client.ask({ code: RequestCode.PULL_MESSAGE, extFields: { ...extFields, ...more } })
    expect(decodeRecords(answer!.body)[0]!.properties).toMatchObject({ MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' })
  }))

test('traceTopicEnable off leaves the topic to the first trace, msgTraceTopicName gives it another name', async () => {
  await withBroker({ traceTopicEnable: false }, async (client) => {
    expect(await routeOf(client, TRACE)).toBe(17)
    expect((await sendTo(client, TRACE, 'x'))?.code).toBe(0)
    expect(await routeOf(client, TRACE)).toMatchObject([{ writeQueueNums: 1 }])
  })
  await withBroker({ msgTraceTopicName: 'our-traces' }, async (client) => {
    expect(await routeOf(client, TRACE)).toBe(17)
    expect(await routeOf(client, 'our-traces')).toMatchObject([{ writeQueueNums: 1 }])
  })
})

test('a namespace in the names keeps topics, groups, retries and dead letters of two tenants apart', () =>
  withBroker({}, async (client) => {
    for (const tenant of ['one', 'two']) {
      const properties = { INSTANCE_ID: tenant, UNIQ_KEY: `id-${tenant}` }
      expect((await sendTo(client, `${tenant}%orders`, `for ${tenant}`, properties))?.code).toBe(0)
    }
    expect(await pullFrom(client, 'one%billing', 'one%orders')).toEqual(['for one'])
    expect(await pullFrom(client, 'two%billing', 'two%orders')).toEqual(['for two'])
    expect(await routeOf(client, 'orders')).toBe(17)
    expect(await routeOf(client, '%RETRY%one%billing')).toMatchObject([{ readQueueNums: 1 }])
    const back = { group: 'one%billing', offset: 0, delayLevel: -1, originTopic: 'one%orders', maxReconsumeTimes: 0 }
    expect((await client.ask({ code: RequestCode.CONSUMER_SEND_MSG_BACK, extFields: back }))?.code).toBe(0)
    expect(await pullFrom(client, 'one%dead', '%DLQ%one%billing')).toEqual(['for one'])
    expect(await routeOf(client, '%DLQ%two%billing')).toBe(17)
  }))

test.each([0, 1] as const)('namespace fields beside plain names change nothing (header kind %i)', (serialization) =>
  withBroker({}, async (client) => {
    const fields = { ns: 'tenant', nsd: 'true' }
    expect((await sendTo(client, 'orders', 'x', {}, fields, serialization))?.code).toBe(0)
    expect(await routeOf(client, 'orders', fields)).toMatchObject([{ writeQueueNums: 1 }])
    expect(await routeOf(client, 'tenant%orders', fields)).toBe(17)
    expect(await pullFrom(client, 'billing', 'orders', fields, serialization)).toEqual(['x'])
    expect(await pullFrom(client, 'billing', 'orders', {}, serialization)).toEqual(['x'])
  }),
)
