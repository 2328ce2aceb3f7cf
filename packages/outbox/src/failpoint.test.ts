import { expect, test } from 'vitest'
import { parseFailpoints } from './failpoint.ts'

test('a failpoint acts at its hit and at no other', () => {
  const acted: string[] = []
  const points = parseFailpoints(
    'P7:kill, P11:throw@3,P2:stop,G1:kill',
    (action, point) => void acted.push(`${action} ${point}`),
  )
  for (const point of ['P11', 'P7', 'P11', 'P3', 'P11', 'P11', 'P2', 'G1', 'P7']) points.hit(point)
  expect(acted).toEqual(['kill P7', 'throw P11', 'stop P2', 'kill G1'])
})

test('a failpoint nobody can mean is refused', () => {
  for (const text of ['P7', 'G3:kill', 'P7:explode', 'X7:kill', 'P7:kill@0', 'P7:kill;P8:kill']) {
    expect(() => parseFailpoints(text)).toThrow(/TANDEM_FAILPOINT/)
  }
})
