import { randomBytes } from 'node:crypto'
import { COMPRESSED_SYS_FLAG, decompressBody, type RemotingCommand, RequestCode } from '@tandemmq/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeBroker, type World, world } from '../../../../test/kit/fake-broker.ts'
import { startedProducer } from '../clients-test-kit.ts'
import type { ProducerOptions } from '../producer/producer-options.ts'

let w: World
let fake: FakeBroker

beforeEach(async () => {
  w = world()
  fake = new FakeBroker(w)
  fake.on(RequestCode.SEND_MESSAGE_V2, (request) => fake.stored(request))
  await w.clock.run(fake.start())
})

async function sent(body: string | Buffer, options: Partial<ProducerOptions>): Promise<RemotingCommand> {
  const producer = await startedProducer(fake, options)
  await w.clock.run(producer.send({ topic: 't', body }))
  return fake.asked(RequestCode.SEND_MESSAGE_V2).at(-1) as RemotingCommand
}

const flagOf = (request: RemotingCommand): number => Number(request.extFields['f'])

test('a body is compressed from exactly compressOverBytes on, and never without the option', async () => {
  expect(flagOf(await sent('a'.repeat(999), { compressOverBytes: 1_000 }))).toBe(0)
  const request = await sent('a'.repeat(1_000), { compressOverBytes: 1_000 })
  expect(flagOf(request)).toBe(COMPRESSED_SYS_FLAG)
  expect(decompressBody(request.body, COMPRESSED_SYS_FLAG, 1_000).toString()).toBe('a'.repeat(1_000))
  expect(flagOf(await sent('a'.repeat(100_000), {}))).toBe(0)
})

test('the level decides between size and speed', async () => {
  const words = Array.from({ length: 2_000 }, (_, n) => `word ${(n * 7_919) % 613}`).join(' ')
  const sizes: number[] = []
  for (const compressLevel of [1, 9]) {
    sizes.push((await sent(words, { compressOverBytes: 1, compressLevel })).body.length)
  }
  expect(sizes[1]).toBeLessThan(sizes[0] as number)
})

test('a body that does not get smaller travels as it is', async () => {
  const body = randomBytes(2_000)
  const request = await sent(body, { compressOverBytes: 1 })
  expect([flagOf(request), request.body.equals(body)]).toEqual([0, true])
})
