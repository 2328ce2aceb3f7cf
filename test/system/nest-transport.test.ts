import { fileURLToPath } from 'node:url'
import { Logger } from '@nestjs/common'
import { Admin } from '@tandemmq/client'
import { TandemClient, TandemRecord } from '@tandemmq/nestjs'
import { firstValueFrom } from 'rxjs'
import { beforeEach, expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { Running } from '../kit/running.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { until } from '../kit/waiting.ts'

// The broker and each Nest service in a process of its own, as built; services of one group on different Nests.
const other = (version: string): Record<string, string> => ({
  NODE_OPTIONS: `--import=${new URL('../nest/redirect.mjs', import.meta.url).href}`,
  TANDEM_NEST: fileURLToPath(new URL(`../nest/${version}`, import.meta.url)),
})
const running = new Running()
let nameServers: string
let client: TandemClient

beforeEach(async () => {
  Logger.overrideLogger(false)
  const broker = tandemUp({ dataDir: running.directory('nest-transport'), port: 0 })
  await running.program(broker)
  nameServers = await broker.ready()
  const admin = await running.client(new Admin({ nameServers }))
  await admin.createTopic('orders', { queues: 4 })
  await admin.createTopic('stock.level', { queues: 4 })
  client = new TandemClient({ nameServers, group: 'shop', requestTimeoutMs: 20_000 })
  running.atEnd(() => client.close())
})

async function service(group: string, nest: 'nest 11' | 'nest 12', env: Record<string, string> = {}) {
  const args = [JSON.stringify({ nameServers, group })]
  const program = new ChildProgram({ file: 'test/system/nest-service.mjs', args, env, readyLine: /^ready (.*)$/m })
  running.atEnd(() => program.stop('SIGKILL'))
  expect(await program.ready(60_000)).toBe(nest)
  return program
}

const lines = (what: 'begin' | 'end', ...programs: ChildProgram[]): string[] =>
  programs.flatMap(({ out }) => [...out.matchAll(new RegExp(`^${what} (.*)$`, 'gm'))].map(([, id = '']) => id))
const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `${from + n}`)
const emit = (id: string, more: object = {}) =>
  firstValueFrom(client.emit('orders', new TandemRecord({ id, ...more }, { tag: 'created', keys: [id] })))

test('services on Nest 11.1.4, 11 and 12 share one group, a second group gets everything too, and a rollout repeats nothing', {
  timeout: 180_000,
}, async () => {
  const [oldest, newest, billing] = await Promise.all([
    service('stock', 'nest 11', other('11.1.4')),
    service('stock', 'nest 12'),
    service('billing', 'nest 11', other('11')),
  ])
  const ids = numbers(0, 200)
  await Promise.all(ids.map((id) => emit(id)))
  await firstValueFrom(client.emit('orders:deleted', { id: 'nobody asked' }))
  for (const group of [[oldest, newest], [billing]]) {
    await until(
      () => new Set(lines('end', ...group)).size >= 200,
      60_000,
      () => `${lines('end', ...group).length} of 200`,
    )
  }
  expect(lines('end', billing).toSorted()).toEqual(ids.toSorted())

  const levels = await Promise.all(
    ids.slice(0, 20).map((sku) => firstValueFrom(client.send<{ sku: string }>('stock.level', { sku }))),
  )
  expect(levels.map(({ sku }) => sku)).toEqual(ids.slice(0, 20))
  await expect(firstValueFrom(client.send('stock.level', { sku: 'none' }))).rejects.toEqual({
    code: 'UNKNOWN_SKU',
    sku: 'none',
  })

  // A rollout under load: the new one starts, the old one is told to go.
  const next = await service('stock', 'nest 12')
  const more = numbers(200, 500)
  const sending = Promise.all(more.map((id) => emit(id)))
  expect(await oldest.stop('SIGTERM')).toBe('SIGTERM')
  await sending
  await until(
    () => new Set(lines('end', oldest, newest, next)).size >= 500,
    60_000,
    () => `${lines('end', oldest, newest, next).length} of 500`,
  )
  expect(lines('begin', oldest).toSorted()).toEqual(lines('end', oldest).toSorted())
  const finished = new Set(lines('end', oldest))
  expect(lines('begin', newest, next).filter((id) => more.includes(id) && finished.has(id))).toEqual([])

  // A failing handler, over processes: again after its pause, on whichever member.
  await emit('flaky', { failsOnce: true })
  await until(() => lines('end', newest, next).includes('flaky'), 60_000)
  expect(lines('begin', newest, next).filter((id) => id === 'flaky')).toHaveLength(2)
})
