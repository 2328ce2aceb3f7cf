import { expect, test } from 'vitest'
import { progressText, startProgress } from './progress.ts'

const terminal = (written: string[], columns = 80) => ({
  columns,
  write: (text: string) => void written.push(text),
  ask: () => Promise.resolve(''),
})

test('without a terminal nothing is written', () => {
  const progress = startProgress({}, 'redriving', 10)
  progress.advance(10)
  progress.end()
})

test('the bar is drawn ten times a second at most, never wraps, and leaves an empty line behind', () => {
  const written: string[] = []
  let now = 0
  const progress = startProgress({ terminal: terminal(written, 40) }, 'redriving', 1_000, () => now)
  for (; now < 1_000; now++) progress.advance()
  expect(written.length).toBeGreaterThan(5)
  expect(written.length).toBeLessThanOrEqual(11)
  for (const text of written) expect(text.replace('\r\u001b[K', '').length).toBeLessThan(40)
  progress.end()
  progress.end()
  expect(written.filter((text) => text === '\r\u001b[K')).toHaveLength(1)
  progress.advance()
  now += 1_000
  progress.advance()
  expect(written.at(-1)).toBe('\r\u001b[K')
})

test('share, rate and remaining time are those of the work done', () => {
  expect(progressText('moving', 0, 10, 0)).toBe(`moving [>${' '.repeat(29)}] 0 of 10, 0/s`)
  expect(progressText('moving', 2_500, 10_000, 10_000)).toBe(
    `moving [=======>${' '.repeat(22)}] 2,500 of 10,000, 250/s, 30 s left`,
  )
  expect(progressText('moving', 10, 10, 1_000)).toBe(`moving [${'='.repeat(30)}] 10 of 10, 10/s, 0 s left`)
  expect(progressText('reading', 1_234, 0, 1_000)).toBe('reading 1,234, 1,234/s')
  expect(progressText('moving', 1, 7_201, 1_000)).toContain('2 h 0 min left')
})
