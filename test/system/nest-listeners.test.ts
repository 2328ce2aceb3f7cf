import { Producer } from '@tandemmq/client'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// Broker and each Nest application in a process of its own, real sockets between them.
let nameServers: string
let producer: Producer
const running = new Running()

beforeEach(async () => {
  const broker = tandemUp({ dataDir: running.directory('nest-listeners'), port: 0 })
  await running.program(broker)
  nameServers = await broker.ready()
  producer = await running.client(new Producer({ nameServers, group: 'p' }))
})

function member(name: string): Promise<ChildProgram> {
  const file = 'test/system/nest-batch-member.mjs'
  return running.program(new ChildProgram({ file, args: [nameServers, name], readyLine: /^ready$/m }))
}

const found = (word: string, ...members: ChildProgram[]): string[] =>
  members.flatMap(({ out }) => [...out.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map(([, body = '']) => body))
const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `${from + n}`)
const send = (bodies: readonly string[]) => Promise.all(bodies.map((body) => producer.send({ topic: 'orders', body })))

/** Tells it until it has heard: it may not have read the control topic yet. */
async function control(who: ChildProgram, name: string, act: 'pause' | 'resume'): Promise<void> {
  await producer.send({ topic: 'control', body: { who: name, act } })
  await until(() => who.out.includes(`${act}d\n`), 30_000)
}

test('two applications share a group of batch listeners; one that pauses leaves all to the other, and takes over when that one is killed', {
  timeout: 180_000,
}, async () => {
  // Both topics exist before anybody asks for them.
  await producer.send({ topic: 'control', body: { who: 'nobody', act: 'pause' } })
  await send(['-1'])
  const [a, b] = [await member('a'), await member('b')]
  await send(numbers(0, 200))
  await until(() => new Set(found('got', a, b)).size === 201, 60_000)
  expect(Math.max(...found('batch', a, b).map(Number))).toBeLessThanOrEqual(20)

  await control(a, 'a', 'pause')
  const atPause = found('got', a).length
  await send(numbers(200, 300))
  await until(() => new Set(found('got', a, b)).size === 301, 60_000)
  expect(found('got', a)).toHaveLength(atPause)

  await b.stop('SIGKILL')
  await control(a, 'a', 'resume')
  await send(numbers(300, 350))
  await until(
    () => numbers(300, 350).every((n) => found('got', a).includes(n)),
    60_000,
    () => `${found('got', a).length - atPause} of at least 50`,
  )
  // Handed over before it was paused or killed: handled there, or here.
  expect(new Set(found('got', a, b)).size).toBe(351)
  expect(a.err).not.toMatch(/ERROR/)
})
