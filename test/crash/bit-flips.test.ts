import { startBroker } from '@tandemmq/broker'
import { expect, test } from 'vitest'
import { FlipLab, type FlipResult, KINDS } from './lab/bit-flips.ts'
import { writeFigures } from './lab/figures.ts'

// `npm run crash` flips a thousand.
const flips = Number(process.env.CRASH_FLIPS ?? 100)
const seed = Number(process.env.CRASH_SEED ?? 1)

test(
  'F15 F16 F17: a flipped bit in any file is detected or makes no difference, and is never served',
  async () => {
    const lab = await FlipLab.open({ seed, parts: 4, sends: 60, startBroker })
    const results: FlipResult[] = []
    for (const flip of lab.flips(flips, seed)) results.push(await lab.flip(flip))
    const lines = KINDS.map((kind) => {
      const ofKind = results.filter(({ flip }) => flip.kind === kind)
      const count = (outcome: string): string => {
        const number = ofKind.filter((one) => one.outcome === outcome).length
        return number === 0 ? '' : `${number} ${outcome}`
      }
      const wrong = ofKind.filter((one) => one.wrong.length > 0).length
      const counts = ['refused', 'told', 'made anew', 'no matter'].map(count).filter((text) => text !== '')
      return { what: `flipped bits: ${kind}`, tried: ofKind.length, found: [`${wrong} wrong`, ...counts].join(', ') }
    })
    writeFigures('3-bit-flips', lines)
    expect(results.filter(({ wrong }) => wrong.length > 0).slice(0, 5)).toEqual([])
    expect(results.length).toBeGreaterThanOrEqual(flips)
    console.log(lines)
  },
  60_000 + flips * 2_000,
)
