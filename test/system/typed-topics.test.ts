import { Admin, Producer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// Broker, sender and listeners in processes of their own, on what npm would install.
let nameServers: string
const running = new Running()

beforeEach(async () => {
  const broker = tandemUp({ dataDir: running.directory('typed-topics'), port: 0 })
  await running.program(broker)
  nameServers = await broker.ready()
})

function member(...sends: object[]): Promise<ChildProgram> {
  const args = [nameServers, ...sends.map((order) => JSON.stringify(order))]
  return running.program(new ChildProgram({ file: 'test/system/typed-member.mjs', args, readyLine: /^ready$/m }))
}

const lines = (what: string, ...programs: ChildProgram[]): string[] =>
  programs.flatMap(({ out }) => [...out.matchAll(new RegExp(`^${what} (.*)$`, 'gm'))].map(([, rest = '']) => rest))

test('orders that fit reach one of two listeners as the schema made them, what does not fit reaches none', {
  timeout: 90_000,
}, async () => {
  const listeners = [await member(), await member()]
  const sender = await member(
    ...Array.from({ length: 8 }, (_, n) => ({ id: `o-${n}`, amount: n })),
    { id: 'wrong', amount: 'five' },
    { id: 'last', amount: 9, currency: 'CHF' },
  )
  await until(() => lines('sent', sender).includes('last'), 30_000)
  expect(lines('refused', sender)).toEqual(['wrong PAYLOAD_INVALID'])

  const stranger = await running.client(new Producer({ nameServers, group: 'stranger' }))
  await stranger.send({ topic: 'orders', keys: ['foreign'], body: { id: 'foreign' } })

  const admin = await running.client(new Admin({ nameServers }))
  const reasons: string[] = []
  await until(async () => {
    for await (const { reason } of admin.deadLetters('billing')) reasons.push(reason)
    return reasons.length > 0
  }, 30_000)
  await until(() => lines('got', ...listeners).length >= 9, 30_000)
  expect(reasons).toEqual([expect.stringContaining('amount: ')])
  const expected = Array.from({ length: 8 }, (_, n) => `o-${n} EUR`)
  expect(lines('got', ...listeners).toSorted()).toEqual(['last CHF', ...expected])
})
