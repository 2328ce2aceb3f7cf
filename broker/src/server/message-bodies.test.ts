import { randomBytes } from 'node:crypto'
import { encodeBatch, encodeProperties, RequestCode, SysFlag } from '@tandemmq/protocol'
import { deflateSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { MemoryBroker } from '../../../test/kit/memory-broker.ts'
import type { BrokerOptions } from '../options.ts'

let open: MemoryBroker | undefined
afterEach(async () => {
  await open?.close()
  open = undefined
})

const start = async (options: Partial<BrokerOptions> = {}): Promise<MemoryBroker> =>
  (open = await MemoryBroker.start(options))

/** The letters of SEND_MESSAGE_V2 (remoting.md 2A). */
const short = (topic: string, sysFlag: number, properties = '') => ({
  ...{ a: 'p', b: topic, c: 'TBW102', d: 1, e: 0, f: sysFlag, g: 1, h: 0, i: properties, j: 0, k: false, m: false },
})

test('a body reaches its consumers as it came, in sends of both forms and in a batch', async () => {
  const world = await start()
  const bytes = Buffer.from([...Array(256).keys()])
  expect((await world.send('orders', bytes, {}, {}, RequestCode.SEND_MESSAGE)).code).toBe(0)
  expect((await world.request(310, short('orders', 0), bytes)).code).toBe(0)
  const entries = [bytes, Buffer.from('ü')].map((body, at) => {
    return { flag: 0, body, properties: encodeProperties({ UNIQ_KEY: `K${at}` }) }
  })
  expect((await world.request(320, { ...short('orders', 0), m: true }, encodeBatch(entries))).code).toBe(0)
  expect((await world.messages()).map(({ body }) => body)).toEqual([bytes, bytes, bytes, Buffer.from('ü')])
})

test.each([
  ['zlib', SysFlag.COMPRESSED | SysFlag.COMPRESSION_ZLIB, deflateSync('x'.repeat(5_000))],
  ['zlib as 4.9 marks it', SysFlag.COMPRESSED, deflateSync('x'.repeat(5_000))],
  ['lz4', SysFlag.COMPRESSED | SysFlag.COMPRESSION_LZ4, randomBytes(500)],
  ['zstd', SysFlag.COMPRESSED | SysFlag.COMPRESSION_ZSTD, randomBytes(500)],
])(
  'a body compressed by %s passes with its flags untouched, straight, delayed and after a restart',
  async (_what, sysFlag, body) => {
    const world = await start()
    await world.send('orders', body, {}, { sysFlag })
    await world.request(310, short('orders', sysFlag, encodeProperties({ TIMER_DELAY_MS: '1000' }).toString()), body)
    await world.clock.advance(3_000)
    await world.restart()
    const bits = SysFlag.COMPRESSED | SysFlag.COMPRESSION_MASK
    const got = (await world.messages()).map((one) => [one.body, one.sysFlag & bits])
    expect(got).toEqual([
      [body, sysFlag],
      [body, sysFlag],
    ])
  },
)
