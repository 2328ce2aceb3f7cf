import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { freePort } from '../kit/free-port.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Runs an ES module in a process of its own, with the built packages. */
async function outputOf(source: string): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], { cwd: root })
  let out = ''
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
  await once(child, 'close')
  return { code: child.exitCode, out }
}

test('a process that waits for a send while no broker is there hears how it ended', async () => {
  const nameServers = `127.0.0.1:${await freePort()}`
  const { code, out } = await outputOf(`
    import { Producer } from '@tandemmq/client'
    const producer = new Producer({ nameServers: '${nameServers}', group: 'g', sendTimeoutMs: 700, retriesMax: 9 })
    await producer.start()
    await producer.send({ topic: 't', body: 'x' }).catch((error) => console.log(error.code))
    await producer.close()
  `)
  expect({ code, out }).toEqual({ code: 0, out: 'CONNECT_FAILED\n' })
})

test('a process that only consumes does not end because its broker is away, and ends when it closes', async () => {
  const nameServers = `127.0.0.1:${await freePort()}`
  const { code, out } = await outputOf(`
    import { PushConsumer } from '@tandemmq/client'
    const consumer = new PushConsumer({ nameServers: '${nameServers}', group: 'g' })
    consumer.subscribe('t', '*', async () => {})
    await consumer.start()
    setTimeout(() => { console.log('alive'); consumer.close() }, 500).unref()
  `)
  expect({ code, out }).toEqual({ code: 0, out: 'alive\n' })
})
