import { expect, test } from 'vitest'
import { ProtocolError } from './errors.ts'
import { FRAME_BYTES_MAX, FrameSplitter } from './frame.ts'

function frame(payload: string): Buffer {
  const bytes = Buffer.alloc(4 + payload.length)
  bytes.writeInt32BE(payload.length)
  bytes.write(payload, 4, 'latin1')
  return bytes
}

function splitter(frameBytesMax?: number) {
  const frames: string[] = []
  const made = new FrameSplitter(
    { onFrame: (bytes, start, end) => frames.push(bytes.toString('latin1', start, end)) },
    frameBytesMax,
  )
  return { frames, splitter: made, push: (bytes: Buffer) => made.push(bytes, 0, bytes.length) }
}

function lengthField(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(length)
  return bytes
}

function codeOf(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError)
    return (error as ProtocolError).code
  }
}

const payloads = ['HEAD', 'HEAD and a body', 'x'.repeat(700), 'last']
const wire = Buffer.concat(payloads.map(frame))

test('frames come out in order however the network splits the stream in two', () => {
  for (let cut = 0; cut <= wire.length; cut++) {
    const { frames, push, splitter: made } = splitter()
    push(wire.subarray(0, cut))
    push(wire.subarray(cut))
    expect(frames).toEqual(payloads)
    expect(made.bufferedBytes).toBe(0)
  }
})

test('frames come out in order whatever the size of the pieces', () => {
  for (let size = 1; size < 40; size++) {
    const { frames, push } = splitter()
    for (let at = 0; at < wire.length; at += size) push(wire.subarray(at, at + size))
    expect(frames).toEqual(payloads)
  }
})

test('a frame cut short is never handed out', () => {
  for (let cut = 0; cut < wire.length; cut++) {
    const { frames, push, splitter: made } = splitter()
    push(wire.subarray(0, cut))
    const whole = payloads.filter((_, index) => cut >= payloads.slice(0, index + 1).join('').length + 4 * (index + 1))
    expect(frames).toEqual(whole)
    expect(made.bufferedBytes).toBe(cut - whole.join('').length - 4 * whole.length)
  }
})

test('a frame that lies wholly in the pushed bytes is handed out in place', () => {
  const bytes = Buffer.concat([Buffer.from('??'), wire, Buffer.from('??')])
  const made = new FrameSplitter({ onFrame: (given) => expect(given).toBe(bytes) })
  made.push(bytes, 2, bytes.length - 2)
  expect.assertions(payloads.length)
})

test('a length below a header word or above the limit is refused as soon as its four bytes are there', () => {
  for (const length of [3, 0, -1, -(2 ** 31), FRAME_BYTES_MAX - 3, 2 ** 31 - 1]) {
    expect(codeOf(() => splitter().push(lengthField(length)))).toBe('FRAME_LENGTH_INVALID')
    const { push } = splitter()
    push(lengthField(length).subarray(0, 3))
    expect(codeOf(() => push(lengthField(length).subarray(3)))).toBe('FRAME_LENGTH_INVALID')
  }
})

test('the longest frame counts its length field', () => {
  expect(codeOf(() => splitter().push(lengthField(FRAME_BYTES_MAX - 4)))).toBeUndefined()
  const { frames, push } = splitter(12)
  push(frame('12345678'))
  expect(frames).toEqual(['12345678'])
  expect(codeOf(() => push(frame('123456789')))).toBe('FRAME_LENGTH_INVALID')
})

test('a promised length does not become an allocation', () => {
  const before = process.memoryUsage().arrayBuffers
  const waiting = Array.from({ length: 64 }, () => {
    const made = splitter()
    made.push(Buffer.concat([lengthField(FRAME_BYTES_MAX - 4), Buffer.alloc(100)]))
    return made
  })
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024)
  expect(waiting.every((made) => made.splitter.bufferedBytes === 104)).toBe(true)
})

test('a frame whose reader fails is not handed out again', () => {
  const seen: string[] = []
  const made = new FrameSplitter({
    onFrame(bytes, start, end) {
      seen.push(bytes.toString('latin1', start, end))
      if (seen.length === 1) throw new Error('reader')
    },
  })
  made.push(frame('first').subarray(0, 6), 0, 6)
  expect(() => made.push(frame('first').subarray(6), 0, 3)).toThrow('reader')
  made.push(frame('second'), 0, 10)
  expect(seen).toEqual(['first', 'second'])
})
