import { pathToFileURL } from 'node:url'
import { mutants as ofDelivery } from '../../simulate/mutants.ts'
import { type Mutable, type Mutant, patchedCopy, patchedFiles } from '../lab/mutant.ts'

const packages: Readonly<Record<Mutable, string>> = { broker: '@tandemmq/broker', client: '@tandemmq/client' }
const loader = new URL('../../kit/other-packages.mjs', import.meta.url)

/** Each breaks one promise of delivery, seldom enough that a program which tries it once does not notice. */
export const mutants: readonly (Mutant & { readonly rules: readonly string[] })[] = [
  // The others change what chaos does not do.
  ...ofDelivery.map((mutant) => ({ ...mutant, rules: rulesOf(mutant.name) })).filter(({ rules }) => rules.length > 0),
  {
    name: 'a retry comes 6 s late',
    rules: ['RetrySchedule'],
    patches: [
      {
        file: 'queueing/lease/lease-receipts.js',
        from: 'lease.deadline = this.#clock.monotonic() + invisibleMs;\n        this.#deadlines.cancel',
        to: 'lease.deadline = this.#clock.monotonic() + invisibleMs + 6_000;\n        this.#deadlines.cancel',
      },
    ],
  },
]

/** Rules of which one must be broken: that a process ended by itself is no proof. */
function rulesOf(name: string): string[] {
  const rules: Record<string, string[]> = {
    'deliver a timer 1 s early': ['DelayNeverEarly'],
    'ack removes the wrong receipt': ['AtLeastOnce', 'LeaseExclusive', 'Redelivery'],
    'rebalance hands one key to two': ['LeaseExclusive', 'Order'],
    'consumer acks before the handler ends': ['AtLeastOnce', 'LeaseExclusive', 'Order'],
    'dedup not persisted': ['DedupWindow'],
  }
  return rules[name] ?? []
}

/**
 * Environment in which a program of this repository runs as the mutant.
 * @throws when a patch does not match exactly one place of the built packages
 */
export function mutantEnv(mutant: Mutant): Record<string, string> {
  const others: Record<string, string> = {}
  for (const of of ['broker', 'client'] as const) {
    if (patchedFiles(mutant, of).size > 0) others[packages[of]] = pathToFileURL(patchedCopy(mutant, of)).href
  }
  return { OTHER_PACKAGES: JSON.stringify(others), NODE_OPTIONS: `--import=${loader.href}` }
}
