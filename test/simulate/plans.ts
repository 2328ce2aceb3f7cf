import type { GroupPlan } from './group-actor.ts'
import { TAGS } from './parcel.ts'
import type { World } from './world.ts'

type Kind = Omit<GroupPlan, 'addresses' | 'tags'> & { readonly membersMax: number; readonly chance: number }

const GROUPS: readonly Kind[] = [
  { name: 'billing', mode: 'clustering', ordered: false, topic: 'orders', membersMax: 3, chance: 0.75 },
  { name: 'caches', mode: 'broadcasting', ordered: false, topic: 'orders', membersMax: 3, chance: 0.75 },
  { name: 'books', mode: 'clustering', ordered: true, topic: 'ledger', membersMax: 3, chance: 0.75 },
  { name: 'mail', mode: 'lease', ordered: false, topic: 'orders', membersMax: 3, chance: 0.75 },
  { name: 'archive', mode: 'lease', ordered: true, topic: 'ledger', membersMax: 3, chance: 0.75 },
  { name: 'visitors', mode: 'clustering', ordered: false, topic: 'fleeting', membersMax: 3, chance: 0.75 },
  // One at a time, so that the turn of a message can be told.
  { name: 'helpers', mode: 'lease', ordered: false, topic: 'urgent', membersMax: 1, chance: 0.4, concurrencyMax: 1 },
  { name: 'clerks', mode: 'clustering', ordered: false, topic: 'questions', membersMax: 3, chance: 0.4, answers: true },
]

/** One group for certain, each other one in most seeds, with one to three members and now and then for some tags only. */
export function drawGroups(world: World): GroupPlan[] {
  const random = world.random('groups')
  const drawn = GROUPS.map(({ membersMax, chance, ...plan }, at) => {
    const isThere = random.next() < chance
    const members = random.between(1, membersMax)
    const addresses = Array.from({ length: members }, (_, n) => `10.0.${at + 1}.${n + 1}`)
    const isTagged = random.next() < 0.3 && plan.answers !== true
    const tags = isTagged ? TAGS.filter(() => random.next() < 0.5) : []
    return { isThere, plan: { ...plan, addresses, ...(tags.length > 0 && { tags }) } }
  })
  const there = drawn.filter(({ isThere }) => isThere)
  return (there.length > 0 ? there : drawn.slice(0, 1)).map(({ plan }) => plan)
}
