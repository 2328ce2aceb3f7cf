import { closeSync, openSync, readdirSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import type { ChildProgram } from '../kit/child-program.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'
import { elapse, until } from '../kit/waiting.ts'
import { LoopDisk, missingForLoopDisks } from './loop-disk.ts'
import { NumberedQueue } from './numbered-queue.ts'
import { Wire } from './raw-wire.ts'

const missing = missingForLoopDisks('full disks')
if (missing !== undefined) console.log(`no full disk of its own: ${missing}`)
const possible = test.skipIf(missing !== undefined)

const DISK_FULL = { code: 14, remark: expect.stringContaining('DISK_FULL') }
const set = { segmentBytes: 1 << 20, messageBytesMax: 256 << 10, checkpointBytes: 4 << 20 }

/** Runs `play` with a broker whose data directory is a file system of its own, and ends both. */
async function onDisk(
  shape: { mib: number; inodes?: number; set?: Record<string, number> },
  play: (disk: LoopDisk, start: () => Promise<{ broker: ChildProgram; wire: Wire }>) => Promise<void>,
): Promise<void> {
  using folder = temporaryDirectory('full-disk')
  const disk = new LoopDisk(folder.path, shape.mib, shape.inodes)
  let broker: ChildProgram | undefined
  try {
    await play(disk, async () => {
      broker = tandemUp({ dataDir: join(disk.path, 'data'), port: 0, set: { ...set, ...shape.set } })
      const address = await broker.ready()
      return { broker, wire: new Wire(Number(address.slice(address.lastIndexOf(':') + 1))) }
    })
  } finally {
    await broker?.stop('SIGKILL')
    disk.unmount()
  }
}

/** Takes all the room there is but `left` bytes. */
function fill(path: string, left: number): void {
  const { bavail, bsize } = statfsSync(dirname(path))
  const file = openSync(path, 'w')
  try {
    const piece = Buffer.alloc(left === 0 ? 512 : 64 << 10, 1)
    const wanted = left === 0 ? Infinity : bavail * bsize - left
    for (let bytes = 0; bytes < wanted; bytes += piece.length) writeSync(file, piece)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

possible(
  'F12: a broker on a full file system refuses by code, serves, survives kill -9, and goes on when there is room',
  { timeout: 120_000 },
  () =>
    onDisk({ mib: 32 }, async (disk, start) => {
      const queue = new NumberedQueue('full')
      let { broker, wire } = await start()
      expect(await queue.store(wire, 100, 20_000)).toBe(undefined)
      const ballast = join(disk.path, 'ballast')
      fill(ballast, 200_000)
      // One message waits for room and its sender with it; whoever comes then is told.
      const last = queue.store(wire, 400, 20_000).catch(() => 'unknown')
      await until(() => broker.err.includes('has no room'), 20_000)
      fill(join(disk.path, 'dust'), 0)
      expect(await queue.send(wire)).toMatchObject(DISK_FULL)
      expect(await queue.wrong(wire)).toEqual([])
      expect(
        (await wire.request(15, { consumerGroup: 'numbered-readers', topic: 'full', queueId: 0, commitOffset: 50 }))
          .code,
      ).toBe(0)
      const asked = { consumerGroup: 'numbered-readers', topic: 'full', queueId: 0, setZeroIfNotFound: false }
      expect((await wire.request(14, asked)).extFields).toMatchObject({ offset: '50' })

      await broker.stop('SIGKILL')
      expect(await last).toBe('unknown')
      ;({ broker, wire } = await start())
      expect(await queue.wrong(wire)).toEqual([])
      await until(async () => (await Promise.race([queue.send(wire, 20_000), elapse(500)]))?.code === 14, 20_000)

      const freed = performance.now()
      rmSync(ballast)
      rmSync(join(disk.path, 'dust'))
      await until(async () => (await queue.send(wire)).code === 0, 10_000)
      console.log(JSON.stringify({ fault: 'disk full', resumedMs: Math.round(performance.now() - freed) }))
      expect(await queue.store(wire, 100, 20_000)).toBe(undefined)
      expect(await queue.wrong(wire)).toEqual([])
      expect(await broker.stop('SIGTERM')).toBe('0')
      ;({ broker, wire } = await start())
      expect(await queue.wrong(wire)).toEqual([])
    }),
)

possible(
  'F12: retention frees a full file system and sending goes on, nobody does anything',
  { timeout: 120_000 },
  () =>
    onDisk({ mib: 32, set: { retentionBytesMax: 6 << 20 } }, async (disk, start) => {
      const queue = new NumberedQueue('retained')
      const { broker, wire } = await start()
      // More than retention leaves, and before it looks again.
      expect(await queue.store(wire, 500, 20_000)).toBe(undefined)
      fill(join(disk.path, 'ballast'), 200_000)
      const rest = queue.store(wire, 400, 20_000)
      await until(() => broker.err.includes('has no room'), 20_000)
      await until(
        () => broker.err.includes('has room again'),
        20_000,
        () => broker.err,
      )
      // It may meet the full disk a second time, between two rounds.
      await rest
      await until(async () => (await queue.send(wire)).code === 0, 20_000)
      expect(await queue.wrong(wire, true)).toEqual([])
      expect(broker.err).toMatch(/retention removed \d+ bytes/)
      expect(readdirSync(join(disk.path, 'data'))).toContain('reserve')
    }),
)

possible(
  'F13: without a free inode a broker serves, takes what fits its files, and goes on when there are some',
  { timeout: 120_000 },
  () =>
    onDisk({ mib: 64, inodes: 64 }, async (disk, start) => {
      const queue = new NumberedQueue('inodes')
      const { broker, wire } = await start()
      expect(await queue.store(wire, 10, 20_000)).toBe(undefined)
      const dust = join(disk.path, 'dust')
      const files: string[] = []
      const take = (): void => {
        try {
          for (;;) {
            const file = `${dust}${files.length}`
            writeFileSync(file, '')
            files.push(file)
          }
        } catch (error) {
          expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
        }
      }
      take()
      const refused = await queue.store(wire, 400, 20_000)
      expect(refused).toMatchObject(DISK_FULL)
      expect(await queue.wrong(wire)).toEqual([])
      for (const file of files) rmSync(file)
      await until(async () => (await queue.send(wire)).code === 0, 10_000)
      expect(await queue.store(wire, 200, 20_000)).toBe(undefined)
      expect(await queue.wrong(wire)).toEqual([])
      expect(await broker.stop('SIGTERM')).toBe('0')
    }),
)
