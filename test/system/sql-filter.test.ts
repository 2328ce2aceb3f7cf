import { decodeRecords, encodeProperties, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { type Broker, startBroker } from '../../broker/src/broker.ts'
import { RawClient } from '../kit/raw-client.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

async function withBroker(run: (client: RawClient, broker: Broker) => Promise<void>): Promise<void> {
  using directory = temporaryDirectory('sql')
  await using broker = await startBroker({ dataDir: directory.path, port: 0 })
  const client = await RawClient.connect(broker.address)
  await run(client, broker)
  client.end()
}

const bodies = (answer: RemotingCommand | undefined): string[] =>
  answer?.code === 0 ? decodeRecords(answer.body).map(({ body }) => body.toString()) : [`code ${answer?.code}`]

/** Sends as the Java client does: V2 header, one queue. */
async function send(client: RawClient, body: string, properties: Record<string, string>): Promise<void> {
  const extFields = {
    ...{ a: 'shop', b: 'orders', c: 'TBW102', d: 1, e: 0, f: 0, g: 1, h: 0, j: 0, k: false, m: false },
    i: encodeProperties(properties).toString(),
  }
  const answer = await client.ask({ code: RequestCode.SEND_MESSAGE_V2, extFields, body: Buffer.from(body) })
  expect(answer?.code).toBe(0)
}

const pull = (over: Record<string, string | number>) => ({
  code: RequestCode.PULL_MESSAGE,
  extFields: {
    ...{ consumerGroup: 'billing', topic: 'orders', queueId: 0, queueOffset: 0, maxMsgNums: 32, sysFlag: 4 },
    ...{ commitOffset: 0, suspendTimeoutMillis: 10_000, subVersion: 0, expressionType: 'SQL92', ...over },
  },
})

const heartbeat = (subString: string) => ({
  code: RequestCode.HEART_BEAT,
  body: Buffer.from(
    JSON.stringify({
      clientID: 'c1',
      producerDataSet: [],
      consumerDataSet: [
        {
          ...{ groupName: 'billing', consumeType: 'CONSUME_PASSIVELY', messageModel: 'CLUSTERING' },
          consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
          subscriptionDataSet: [
            { topic: 'orders', subString, expressionType: 'SQL92', subVersion: 1, codeSet: [], tagsSet: [] },
          ],
        },
      ],
    }),
  ),
})

test('properties sent in a message decide which SQL subscriptions get it, with both kinds of headers', () =>
  withBroker(async (client) => {
    await send(client, 'large', { amount: '12', region: 'eu', TAGS: 'created' })
    await send(client, 'small', { amount: '9', region: 'eu', TAGS: 'created' })
    await send(client, 'dear guest', { amount: '1', region: 'us', TAGS: 'vip', KEYS: 'o-1 o-2' })
    const subscription = "amount > 10 AND region = 'eu' OR TAGS = 'vip'"
    for (const serialization of [0, 1] as const) {
      expect(bodies(await client.ask({ ...pull({ subscription }), serialization }))).toEqual(['large', 'dear guest'])
    }
    expect(bodies(await client.ask(pull({ subscription: "KEYS CONTAINS 'o-2'" })))).toEqual(['dear guest'])
    expect((await client.ask(heartbeat('amount BETWEEN 5 AND 10')))?.code).toBe(0)
    expect(bodies(await client.ask(pull({ sysFlag: 0 })))).toEqual(['small'])
  }))

test('a member that waits gets the first message its SQL is true for, at once and no other', () =>
  withBroker(async (client, broker) => {
    await send(client, 'first', { n: '0' })
    await client.ask(heartbeat('n > 10'))
    const waiting = await RawClient.connect(broker.address)
    const answer = waiting.ask(pull({ sysFlag: 2, queueOffset: 1 }))
    while (broker.stats().pulls.parked === 0) await new Promise((resolve) => setImmediate(resolve))
    for (const n of [1, 2, 11]) await send(client, `n${n}`, { n: String(n) })
    expect(bodies(await answer)).toEqual(['n11'])
    waiting.end()
  }))

test('a copy that comes back through the retry topic is not filtered a second time', () =>
  withBroker(async (client) => {
    await send(client, 'again', { n: '1' })
    await client.ask(heartbeat('n = 1'))
    const [record] = decodeRecords((await client.ask(pull({ subscription: 'n = 1' })))!.body)
    const back = { group: 'billing', offset: String(record!.physicalOffset), delayLevel: -1, originTopic: 'orders' }
    const returned = { code: RequestCode.CONSUMER_SEND_MSG_BACK, extFields: { ...back, maxReconsumeTimes: 0 } }
    expect((await client.ask(returned))?.code).toBe(0)
    const dead = pull({ topic: '%DLQ%billing', expressionType: 'TAG', subscription: '*' })
    expect(bodies(await client.ask(dead))).toEqual(['again'])
  }))
