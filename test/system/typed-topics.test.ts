import { Admin, Producer } from '@tandemmq/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { until } from '../kit/waiting.ts'

// Broker, sender and listeners in processes of their own, on what npm would install.
let nameServers: string
const endings: (() => unknown)[] = []

beforeEach(async () => {
  const folder = temporaryDirectory('typed-topics')
  endings.push(() => folder.remove())
  const broker = tandemUp({ dataDir: folder.path, port: 0 })
  endings.push(() => broker.stop('SIGKILL'))
  nameServers = await broker.ready()
})

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
})

async function member(...sends: object[]): Promise<ChildProgram> {
  const args = [nameServers, ...sends.map((order) => JSON.stringify(order))]
  const program = new ChildProgram({ file: 'test/system/typed-member.mjs', args, readyLine: /^ready$/m })
  endings.push(() => program.stop('SIGKILL'))
  await program.ready()
  return program
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

  const stranger = new Producer({ nameServers, group: 'stranger' })
  endings.push(() => stranger.close())
  await stranger.start()
  await stranger.send({ topic: 'orders', keys: ['foreign'], body: { id: 'foreign' } })

  const admin = new Admin({ nameServers })
  endings.push(() => admin.close())
  await admin.start()
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
