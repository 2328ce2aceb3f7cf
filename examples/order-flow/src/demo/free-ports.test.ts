import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { freePorts } from './free-ports.ts'

test('a port that is taken is replaced by a free one, the others stay', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port: first } = taken.address() as AddressInfo
  const ports = await freePorts(3, first)
  expect(ports).not.toContain(first)
  expect(new Set(ports).size).toBe(3)
})
