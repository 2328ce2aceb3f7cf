import { expect, test } from 'vitest'
import { GroupConsumer } from './group-consumer.ts'
import type { ConsumerPlan } from './listener-plan.ts'

const plan = { group: 'billing', listeners: [{}] } as unknown as ConsumerPlan<object>

/** A group whose consumers write down what is done with them, each after `wait`. */
function group(wait: () => Promise<void> = async () => {}): { group: GroupConsumer<object>; done: string[] } {
  const done: string[] = []
  let count = 0
  const made = new GroupConsumer<object>(plan, () => {
    const name = ++count
    const act = async (what: string): Promise<void> => {
      done.push(`${what} ${name}`)
      await wait()
      done.push(`${what} ${name} done`)
    }
    return {
      consumer: { start: () => act('start'), close: () => act('close') },
      ending: () => void done.push(`ending ${name}`),
    }
  })
  return { group: made, done }
}

test('what collects messages hands them over before the consumer waits for its handlers', async () => {
  const { group: billing, done } = group()
  await billing.start()
  await billing.pause()
  expect(done).toEqual(['start 1', 'start 1 done', 'ending 1', 'close 1', 'close 1 done'])
})

test('a pause is over when the consumer has ended', async () => {
  let release = (): void => {}
  const { group: billing, done } = group(() => new Promise((resolve) => (release = resolve)))
  const starting = billing.start()
  await Promise.resolve()
  release()
  await starting
  const pausing = billing.pause().then(() => done.push('paused'))
  await new Promise((resolve) => process.nextTick(resolve))
  expect(done.at(-1)).toBe('close 1')
  release()
  await pausing
  expect(done.slice(-2)).toEqual(['close 1 done', 'paused'])
})

test('a paused group does not begin by being started, only by being resumed', async () => {
  const { group: billing, done } = group()
  await billing.pause()
  await billing.start()
  expect(done).toEqual([])
  await billing.resume()
  expect(done).toEqual(['start 1', 'start 1 done'])
})

test('a group that closes ends at once, also what is being started, and begins no more', async () => {
  const waiting: (() => void)[] = []
  const { group: billing, done } = group(() => new Promise((resolve) => waiting.push(resolve)))
  const starting = billing.start()
  await Promise.resolve()
  const resuming = billing.resume()
  const closing = billing.close()
  expect(done).toEqual(['start 1', 'ending 1', 'close 1'])
  for (const resolve of waiting) resolve()
  await Promise.all([starting, resuming, closing])
  expect(done).not.toContain('start 2')
  await billing.resume()
  expect(done).not.toContain('start 2')
})
