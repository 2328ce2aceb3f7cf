import { expect, test } from 'vitest'
import { directInvocation, isBare, takesNothing } from './direct-invocation.ts'

const PAYLOAD = 3
const CONTEXT = 6
const parameter = (index: number, type: number, more: object = {}) => ({
  index,
  type,
  extractValue: (payload: unknown, context: unknown) => (type === CONTEXT ? context : payload),
  ...more,
})
const bare = { guards: 0, interceptors: 0, pipes: 0, parameters: [] }

test('a method is bare only when nothing is around it and nobody hides what is', () => {
  expect(isBare(bare)).toBe(true)
  expect(isBare({ ...bare, guards: 1 })).toBe(false)
  expect(isBare({ ...bare, interceptors: 1 })).toBe(false)
  expect(isBare({ ...bare, interceptors: undefined })).toBe(false)
  expect(isBare({ ...bare, pipes: 1 })).toBe(false)
  expect(isBare({ ...bare, parameters: [parameter(0, PAYLOAD, { pipes: ['pipe'] })] })).toBe(false)
  expect(isBare({ ...bare, parameters: [parameter(0, PAYLOAD, { schema: {} })] })).toBe(false)
})

test('parameters are filled at their places, the others are null', () => {
  const given: unknown[][] = []
  const host = {
    method(...args: unknown[]) {
      given.push([this === host, ...args])
      return 7
    },
  }
  const invoke = directInvocation(host, host.method, [parameter(2, CONTEXT), parameter(0, PAYLOAD)], CONTEXT)
  expect(invoke('payload', 'context')).toBe(7)
  expect(given).toEqual([[true, 'payload', null, 'context']])
})

test('the payload is not read for a method that asks for the context alone', () => {
  const readsPayload = (...types: number[]) =>
    directInvocation(
      {},
      () => 1,
      types.map((type, index) => parameter(index, type)),
      CONTEXT,
    ).readsPayload
  expect(readsPayload(CONTEXT)).toBe(false)
  expect(readsPayload()).toBe(false)
  expect(readsPayload(PAYLOAD, CONTEXT)).toBe(true)
})

test('only a method that can see no argument takes nothing', () => {
  class Methods {
    none(): void {}
    async noneAsync(): Promise<void> {}
    one(_payload: unknown): void {}
    byDefault(_payload = 1): void {}
    rest(..._all: unknown[]): void {}
    all(): number {
      // oxlint-disable-next-line prefer-rest-params
      return arguments.length
    }
  }
  const { none, noneAsync, one, byDefault, rest, all } = Methods.prototype
  expect([none, noneAsync].map((method) => takesNothing(method))).toEqual([true, true])
  for (const method of [one, byDefault, rest, all]) expect(takesNothing(method as () => void)).toBe(false)
})
