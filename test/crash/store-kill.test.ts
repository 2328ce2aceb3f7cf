import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@tandemmq/remoting'
import { expect, test } from 'vitest'
import { systemDisk } from '../../broker/src/store/system-disk.ts'
import { bodiesOf, openStore } from '../kit/store-kit.ts'

const appender = fileURLToPath(new URL('store-appender.mjs', import.meta.url))

for (const flush of ['sync', 'async'] as const) {
  test(`F01: kill -9 of the writing process five times loses no stored message (${flush})`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tandem-kill-'))
    try {
      for (let cycle = 0; cycle < 5; cycle++) {
        const child = spawn(process.execPath, [appender, directory, flush], { stdio: ['ignore', 'pipe', 'inherit'] })
        const exited = once(child, 'exit')
        let output = ''
        // Somewhere between the first message and the middle of a later segment.
        for await (const chunk of child.stdout) {
          output += String(chunk)
          if (output.length > 500 + cycle * 7000) child.kill('SIGKILL')
        }
        await exited
        const stored = output.split('\n').slice(0, -1).map(Number)
        expect(stored.length).toBeGreaterThan(50)
        const store = openStore(systemDisk, systemClock, { directory, segmentBytes: 1 << 20 })
        const found = new Set<number>()
        for (let queueId = 0; queueId < 4; queueId++) {
          for (const body of bodiesOf(store, store.findQueue('orders', queueId)))
            found.add(Number.parseInt(body ?? '', 10))
        }
        expect(stored.filter((number) => !found.has(number))).toEqual([])
        await store.close()
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }, 60_000)
}
