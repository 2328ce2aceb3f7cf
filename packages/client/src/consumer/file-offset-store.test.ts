import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileOffsetStore } from './file-offset-store.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tandem-offsets-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const queue = (queueId: number, topic = 'orders') => ({ topic, brokerName: 'b', queueId })

test('what was written is read by the next store on the folder, group by group, 64 bits wide', async () => {
  const store = fileOffsetStore(join(directory, 'made', 'here'))
  expect(await store.read('g', queue(0))).toBeUndefined()
  await store.write('g', queue(0), 7n)
  await store.write('g', queue(1), 2n ** 62n)
  await store.write('%RETRY|odd', queue(0), 1n)
  const next = fileOffsetStore(join(directory, 'made', 'here'))
  expect(await next.read('g', queue(0))).toBe(7n)
  expect(await next.read('g', queue(1))).toBe(2n ** 62n)
  expect(await next.read('g', queue(0, 'other'))).toBeUndefined()
  expect(await next.read('%RETRY|odd', queue(0))).toBe(1n)
  expect(await next.read('h', queue(0))).toBeUndefined()
})

test('of many writes at a time each is on the disk when it resolves, and the last one wins', async () => {
  const store = fileOffsetStore(directory)
  const writes: Promise<void>[] = []
  for (let offset = 0n; offset < 500n; offset++) writes.push(store.write('g', queue(Number(offset % 8n)), offset))
  await writes[3]
  expect(await fileOffsetStore(directory).read('g', queue(3))).toBe(499n)
  await Promise.all(writes)
  const next = fileOffsetStore(directory)
  for (let id = 0; id < 8; id++) expect(await next.read('g', queue(id))).toBe(await store.read('g', queue(id)))
  expect(readdirSync(directory)).toEqual(['g.offsets.json'])
})

test('a half-written file of a crash is not looked at', async () => {
  await fileOffsetStore(directory).write('g', queue(0), 7n)
  writeFileSync(join(directory, 'g.offsets.json.tmp'), '{"version":1,"off')
  expect(await fileOffsetStore(directory).read('g', queue(0))).toBe(7n)
})

test.each(['', '{', '[]', '{"version":2,"offsets":{}}', '{"version":1,"offsets":{"a":"x"}}'])(
  'a file that holds %j is refused instead of starting over',
  async (text) => {
    writeFileSync(join(directory, 'g.offsets.json'), text)
    await expect(fileOffsetStore(directory).read('g', queue(0))).rejects.toMatchObject({ code: 'RECORD_INVALID' })
  },
)

test('a write that fails says so, and the next one is tried', async () => {
  const store = fileOffsetStore(join(directory, 'x'))
  await store.write('g', queue(0), 1n)
  rmSync(join(directory, 'x'), { recursive: true })
  await expect(store.write('g', queue(0), 2n)).rejects.toThrow('ENOENT')
  await expect(store.write('g', queue(0), 3n)).rejects.toThrow('ENOENT')
})
