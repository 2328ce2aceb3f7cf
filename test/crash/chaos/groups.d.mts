import type { GroupMode } from '../rules/event.ts'

/** See groups.mjs. */
export const topics: Readonly<Record<'plain' | 'ordered' | 'failing' | 'requests', string>>
export const groups: readonly {
  readonly group: string
  readonly topic: string
  readonly mode: GroupMode
  readonly attemptsMax: number
  readonly invisibleMs?: number
}[]
