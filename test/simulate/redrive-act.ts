import type { Admin } from '@tandemmq/client'
import type { SeededRandom } from '../kit/seeded-random.ts'
import { parcelOf } from './parcel.ts'
import type { World } from './world.ts'

/** Sends some dead letters of a group back to it, those of the last redrive that may have failed too. */
export async function redrive(world: World, admin: Admin, random: SeededRandom, group: string): Promise<void> {
  const chosen: { id: string; dead: number }[] = []
  const share = random.pick([0.3, 1])
  const result = await admin.redrive(group, {
    limit: random.between(1, 6),
    filter: ({ message, offset }) => {
      if (random.next() > share) return false
      const one = { id: parcelOf(message.text()).id, dead: Number(offset) }
      chosen.push(one)
      world.note('operator', { event: 'redrive.start', group, ...one })
      return true
    },
  })
  if (result.gone > 0 || result.matched !== chosen.length) return
  for (const one of chosen) world.note('operator', { event: 'redrive.ok', group, ...one })
}
