// Who reads what in a chaos run. Attempts and leases are short, so that a run of seconds sees them end.
export const topics = {
  plain: 'chaos-plain',
  ordered: 'chaos-ordered',
  failing: 'chaos-failing',
  requests: 'chaos-requests',
}

const invisibleMs = 3_000

export const groups = [
  { group: 'workers', topic: topics.plain, mode: 'clustering', attemptsMax: 16 },
  { group: 'mirrors', topic: topics.plain, mode: 'broadcasting', attemptsMax: 1 },
  { group: 'leases', topic: topics.plain, mode: 'lease', attemptsMax: 1_000, invisibleMs },
  { group: 'keepers', topic: topics.ordered, mode: 'ordered', attemptsMax: 3 },
  { group: 'lease-keepers', topic: topics.ordered, mode: 'lease-ordered', attemptsMax: 1_000, invisibleMs },
  { group: 'failers', topic: topics.failing, mode: 'clustering', attemptsMax: 4 },
  { group: 'lease-failers', topic: topics.failing, mode: 'lease', attemptsMax: 4, invisibleMs },
  { group: 'repliers', topic: topics.requests, mode: 'clustering', attemptsMax: 16 },
]
