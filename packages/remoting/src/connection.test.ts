import { decodeCommand, encodeCommand, ProtocolError, ResponseCode } from '@tandemmq/protocol'
import { describe, expect, test } from 'vitest'
import { peersOf, RecordingOwner, worlds } from '../../../test/kit/remoting-worlds.ts'
import type { Connection } from './connection.ts'

const frame = (code: number, opaque = 0, body = Buffer.alloc(0)): Buffer => encodeCommand({ code, opaque, body })

describe.each(worlds)('on $name', ({ make }) => {
  const world = make()
  const { serve, client, raw } = peersOf(world)

  test.each([0, 1] as const)(
    'a request of serialization %s is answered in it, with fields and body',
    async (serialization) => {
      const server = await serve(new RecordingOwner())
      const init = { code: 10, serialization, extFields: { topic: 'ä', queueId: 3 }, body: Buffer.from('body') }
      const answer = await world.run(client().request(server.address, init, 1_000))
      expect(answer).toMatchObject({ code: 0, flag: 1, serialization, version: 479, language: 13 })
      expect(answer.extFields).toEqual(Object.assign(Object.create(null), { topic: 'ä', queueId: '3' }))
      expect(answer.body.toString()).toBe('body')
    },
  )

  test('answers find their requests in whatever order they come', async () => {
    const held: (() => void)[] = []
    const owner = new RecordingOwner((connection, { opaque, serialization }) => {
      const remark = `answer to ${opaque}`
      held.push(() => connection.reply({ opaque, serialization }, { code: 0, remark }))
      if (held.length === 50) for (const answer of held.toReversed()) answer()
    })
    const server = await serve(owner)
    const connection = await world.run(client().connection(server.address))
    const asked = Array.from({ length: 50 }, () => connection.request({ code: 1 }, 1_000))
    const remarks = (await world.run(Promise.all(asked))).map(({ remark }) => remark)
    expect(remarks).toEqual(asked.map((_, opaque) => `answer to ${opaque}`))
    expect(connection.pendingRequests).toBe(0)
  })

  test('both sides may ask with the same opaque number at once', async () => {
    const server = await serve(
      new RecordingOwner((connection, { opaque, serialization }) => {
        const asked = connection.request({ code: 40, remark: 'server asks' }, 1_000)
        void asked.then(({ remark }) =>
          connection.reply({ opaque, serialization }, { code: 0, remark: `heard ${remark}` }),
        )
      }),
    )
    const owner = new RecordingOwner((connection, header) =>
      connection.reply(header, { code: 0, remark: 'client answers' }),
    )
    const answer = await world.run(client({ owner }).request(server.address, { code: 34 }, 1_000))
    expect(answer.remark).toBe('heard client answers')
    expect(owner.requests[0]).toMatchObject({ code: 40, opaque: 0, remark: 'server asks' })
  })

  test('a client without owner answers "not supported"', async () => {
    const server = await serve(new RecordingOwner())
    await world.run(client().request(server.address, { code: 1 }, 1_000))
    const [connection] = server.connections
    const answer = await world.run((connection as Connection).request({ code: 40 }, 1_000))
    expect(answer).toMatchObject({
      code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
      remark: ' request type 40 not supported',
    })
  })

  test('a one-way request carries its bit and gets no answer', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const one = client()
    await world.run(one.oneway(server.address, { code: 35 }))
    await world.run(one.request(server.address, { code: 36 }, 1_000))
    expect(owner.requests).toMatchObject([
      { code: 35, flag: 2 },
      { code: 36, flag: 0 },
    ])
    expect(one.stats.framesReceived).toBe(1)
  })

  test('a request without answer fails at its deadline, and the answer that comes later is dropped', async () => {
    const late: (() => void)[] = []
    const server = await serve(
      new RecordingOwner((connection, { code, opaque, serialization }) => {
        if (code === 1) late.push(() => connection.reply({ opaque, serialization }, { code: 99 }))
        else connection.reply({ opaque, serialization }, { code: 0 })
      }),
    )
    const connection = await world.run(client().connection(server.address))
    const outcome = expect(connection.request({ code: 1 }, 500)).rejects.toMatchObject({
      code: 'REQUEST_TIMEOUT',
      retryable: true,
    })
    await world.until(() => late.length === 1)
    await world.clock.advance(500)
    await outcome
    late[0]?.()
    const next = await world.run(connection.request({ code: 2 }, 1_000))
    expect(next.code).toBe(0)
  })

  test('an answer nobody asked for is dropped and counted', async () => {
    const server = await serve(new RecordingOwner())
    const peer = await raw(server)
    peer.send(encodeCommand({ code: 0, flag: 1, opaque: 77 }))
    peer.send(frame(1, 5))
    await world.until(() => peer.receivedBytes > 0)
    expect(decodeCommand(peer.received)).toMatchObject({ opaque: 5 })
    expect(server.stats.responsesDropped).toBe(1)
  })

  test('frames are found in single bytes and by the thousand in one write', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peer = await raw(server)
    for (const byte of frame(1, 4, Buffer.from('in pieces'))) {
      peer.send(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    peer.send(Buffer.concat(Array.from({ length: 1_000 }, (_, n) => frame(2, n, Buffer.alloc(n, n)))))
    await world.until(() => owner.requests.length === 1_001)
    expect(owner.requests[0]?.body.toString()).toBe('in pieces')
    for (let n = 0; n < 1_000; n++) {
      const request = owner.requests[n + 1]
      expect(request?.opaque).toBe(n)
      expect(request?.body.equals(Buffer.alloc(n, n))).toBe(true)
    }
  })

  test('frames of several connections that arrive in pieces do not mix', async () => {
    const owner = new RecordingOwner()
    const server = await serve(owner)
    const peers = await Promise.all(Array.from({ length: 8 }, () => raw(server)))
    const frames = peers.map((_, n) => frame(n, n, Buffer.alloc(40_000, n + 1)))
    for (let at = 0; at < 41_000; at += 10_000) {
      for (const [n, peer] of peers.entries()) peer.send(frames[n]?.subarray(at, at + 10_000) ?? Buffer.alloc(0))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await world.until(() => owner.requests.length === 8)
    for (const { code, body } of owner.requests) expect(body.equals(Buffer.alloc(40_000, code + 1))).toBe(true)
  })

  test('a frame larger than any read arrives whole', async () => {
    const server = await serve(new RecordingOwner())
    const body = Buffer.alloc(3_000_000, 'large')
    const answer = await world.run(client().request(server.address, { code: 1, body }, 1_000))
    expect(answer.body.equals(body)).toBe(true)
  })

  test('a handler that closes the connection gets no further frame of the same read', async () => {
    const owner = new RecordingOwner((connection) => connection.destroy())
    const server = await serve(owner)
    const peer = await raw(server)
    peer.send(Buffer.concat([frame(1), frame(2), frame(3), Buffer.from('GET / HTTP/1.1\r\n')]))
    await world.until(() => owner.closed.length === 1)
    expect(owner.requests).toHaveLength(1)
    expect(server.stats.closedBy).toMatchObject({ FRAME_LENGTH_INVALID: 0, HEADER_INVALID: 0 })
  })

  test('what a handler throws is answered, and the connection lives on', async () => {
    const seen: unknown[] = []
    const server = await serve(
      new RecordingOwner((connection, header) => {
        if (header.code === 1) throw new Error('a bug')
        if (header.code === 2) throw new ProtocolError('FIELD_INVALID', 'queueId is no number')
        if (header.code === 3) throw new ProtocolError('HEADER_INVALID', 'inside the handler')
        connection.reply(header, { code: 0 })
      }),
      { onError: (error) => seen.push(error) },
    )
    const one = client()
    const connection = await world.run(one.connection(server.address))
    const ask = async (code: number) => world.run(connection.request({ code }, 1_000))
    expect(await ask(1)).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark: 'a bug' })
    expect(await ask(2)).toMatchObject({ code: 29, remark: '[FIELD_INVALID] queueId is no number' })
    expect(await ask(3)).toMatchObject({ code: ResponseCode.SYSTEM_ERROR })
    connection.oneway({ code: 1 })
    expect(await ask(4)).toMatchObject({ code: 0 })
    expect(server.stats.ownerErrors).toBe(4)
    expect(one.stats).toMatchObject({ framesReceived: 4, responsesDropped: 0 })
    expect(seen).toHaveLength(4)
  })

  test('requests that wait fail when the connection ends', async () => {
    const server = await serve(new RecordingOwner((connection) => connection.destroy()))
    const connection = await world.run(client().connection(server.address))
    const asked = [connection.request({ code: 1 }, 1_000), connection.request({ code: 1 }, 1_000)]
    for (const one of await world.run(Promise.allSettled(asked))) {
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'CONNECTION_CLOSED' } })
    }
    expect(connection.isOpen).toBe(false)
    await expect(connection.request({ code: 1 }, 1_000)).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
    connection.oneway({ code: 1 })
  })

  test('an aborted request fails with the reason and its answer is dropped', async () => {
    const server = await serve(new RecordingOwner())
    const connection = await world.run(client().connection(server.address))
    const abort = new AbortController()
    const asked = connection.request({ code: 1 }, 1_000, abort.signal)
    abort.abort('enough')
    await expect(asked).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
    await expect(connection.request({ code: 1 }, 1_000, abort.signal)).rejects.toMatchObject({ code: 'ABORTED' })
    expect(connection.pendingRequests).toBe(0)
    await world.run(connection.request({ code: 1 }, 1_000))
  })

  test('frames written by hand into the output reach the peer and their answer the handler', async () => {
    const server = await serve(new RecordingOwner())
    const connection = await world.run(client().connection(server.address))
    const opaques: number[] = []
    const failures: string[] = []
    const reply = { onReply: (header: { opaque: number }) => void opaques.push(header.opaque), onFailure: () => {} }
    const asked = [0, 1, 2].map(() => {
      const opaque = connection.expect(1_000, reply)
      const bytes = frame(1, opaque, Buffer.alloc(5_000))
      const at = connection.reserve(bytes.length + 100)
      connection.output.set(bytes, at)
      connection.commit(bytes.length)
      return opaque
    })
    await world.until(() => opaques.length === 3)
    expect(opaques).toEqual(asked)
    connection.destroy()
    connection.expect(1_000, { onReply: () => {}, onFailure: (error) => void failures.push(error.code) })
    expect(failures).toEqual(['CONNECTION_CLOSED'])
  })

  test('reading paused by the owner stops requests until it is resumed', async () => {
    const owner = new RecordingOwner((connection, header) => {
      if (header.code === 1) connection.pauseReading()
    })
    const server = await serve(owner, { idleTimeoutMs: 1_000 })
    const peer = await raw(server)
    peer.send(frame(1))
    await world.until(() => owner.requests.length === 1)
    peer.send(frame(2))
    await world.clock.advance(5_000)
    expect(owner.requests).toHaveLength(1)
    owner.connections[0]?.resumeReading()
    await world.until(() => owner.requests.length === 2)
    expect(server.stats.closedBy.IDLE).toBe(0)
  })
})
