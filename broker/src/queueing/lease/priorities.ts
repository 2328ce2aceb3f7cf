import type { PopRequest } from './pop-request.ts'

/** One pop in so many begins at another priority than the highest, so that none waits for ever. */
export const FAIR_EVERY = 8

/** Pops of all queues of a topic of type PRIORITY. Order goes before priority, and who names a queue gets that one. */
export function isByPriority({ topic, isOrdered, queueId }: PopRequest): boolean {
  return topic.isPriority && !isOrdered && queueId < 0
}

/**
 * Which queues the pop looks into first. A stock broker leaves fairness to the group's `priority.factor`, whose default is none at all;
 * here the first message of any priority is had within `FAIR_EVERY` times the number of priorities.
 * @param turn pops of the group that found something before this one
 */
export function prioritiesInTurn(count: number, turn: number): number[] {
  const descending = Array.from({ length: count }, (_, n) => count - 1 - n)
  if (turn % FAIR_EVERY !== FAIR_EVERY - 1) return descending
  const first = Math.floor(turn / FAIR_EVERY) % count
  return [first, ...descending.filter((priority) => priority !== first)]
}
