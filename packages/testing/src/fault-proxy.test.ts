import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { startFaultProxy } from './fault-proxy.ts'
import type { FaultProxy } from './fault-proxy.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
})

function frame(code: number, opaque: number, flag: number, body = ''): Buffer {
  const header = Buffer.from(JSON.stringify({ code, opaque, flag }))
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + header.length + body.length, 0)
  head.writeInt32BE(header.length, 4)
  return Buffer.concat([head, header, Buffer.from(body)])
}

/** Answers every request frame with its opaque, as a broker does. */
async function setUp(): Promise<{
  proxy: FaultProxy
  dial: () => Promise<Client>
  direct: () => Promise<Client>
  requests: () => number
}> {
  let requests = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += 4 + bytes.readInt32BE(at)) {
        const header = JSON.parse(bytes.subarray(at + 8, at + 8 + bytes.readInt32BE(at + 4)).toString())
        requests++
        socket.write(frame(0, header.opaque, 1, `answer ${header.opaque}`))
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  endings.push(() => server.close())
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = await startFaultProxy(target)
  endings.push(() => proxy.close())
  return {
    proxy,
    requests: () => requests,
    dial: () => Client.dial(proxy.address),
    direct: () => Client.dial(target),
  }
}

class Client {
  readonly socket: Socket
  text = ''
  error: NodeJS.ErrnoException | undefined
  readonly closed: Promise<void>

  static async dial(address: string): Promise<Client> {
    const [host = '', port] = address.split(':')
    const socket = connect(Number(port), host)
    await once(socket, 'connect')
    return new Client(socket)
  }

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => (this.text += bytes.toString()))
    socket.on('error', (error) => (this.error = error))
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    endings.push(() => socket.destroy())
  }

  send(code: number, opaque: number): void {
    this.socket.write(frame(code, opaque, 0))
  }

  async hears(words: string): Promise<void> {
    while (!this.text.includes(words)) await once(this.socket, 'data')
  }
}

test('without a fault every reply passes', async () => {
  const { dial } = await setUp()
  const client = await dial()
  client.send(310, 1)
  await client.hears('answer 1')
})

test('the reply asked for is dropped although the request arrived, and the ones around it pass', async () => {
  const { proxy, dial, requests } = await setUp()
  const client = await dial()
  const dropped = proxy.dropReply(2)
  for (const opaque of [1, 2, 3]) client.send(310, opaque)
  await dropped
  await client.hears('answer 3')
  expect(client.text).toContain('answer 1')
  expect(client.text).not.toContain('answer 2')
  expect(requests()).toBe(3)
})

test('a reply is dropped by the code of its request', async () => {
  const { proxy, dial } = await setUp()
  const client = await dial()
  void proxy.dropReply(1, 11)
  client.send(310, 1)
  client.send(11, 2)
  client.send(310, 3)
  await client.hears('answer 3')
  expect(client.text).toContain('answer 1')
  expect(client.text).not.toContain('answer 2')
})

test('a cut line is silent until it is healed, and then loses nothing', async () => {
  const { proxy, dial, direct, requests } = await setUp()
  const client = await dial()
  client.send(310, 1)
  await client.hears('answer 1')
  proxy.cut()
  client.send(310, 2)
  const other = await dial()
  other.send(310, 3)
  const beside = await direct()
  beside.send(310, 4)
  await beside.hears('answer 4')
  expect(requests()).toBe(2) // the first one and the one that took another way
  proxy.heal()
  await Promise.all([client.hears('answer 2'), other.hears('answer 3')])
})

test('a delayed line delivers in order and not before the delay', async () => {
  const { proxy, dial } = await setUp()
  const client = await dial()
  proxy.delay(25)
  const startedAt = performance.now()
  client.send(310, 1)
  client.send(310, 2)
  await client.hears('answer 2')
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(49)
  expect(client.text.indexOf('answer 1')).toBeLessThan(client.text.indexOf('answer 2'))
})

test('a reset reaches the client as an error and the next connection works', async () => {
  const { proxy, dial } = await setUp()
  const client = await dial()
  client.send(310, 1)
  await client.hears('answer 1')
  proxy.reset()
  await client.closed
  expect(client.error?.code).toBe('ECONNRESET')
  const next = await dial()
  next.send(310, 2)
  await next.hears('answer 2')
})

test('bytes that are no frames pass unchanged', async () => {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  endings.push(() => server.close())
  const proxy = await startFaultProxy(`127.0.0.1:${(server.address() as AddressInfo).port}`)
  endings.push(() => proxy.close())
  const client = await Client.dial(proxy.address)
  client.socket.write('\xff\xff nonsense', 'latin1')
  await client.hears(' nonsense')
})
