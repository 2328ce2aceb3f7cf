import { pathToFileURL } from 'node:url'
import { type Mutant, mutantBroker, patchedCopy } from '../crash/lab/mutant.ts'
import type { Product } from './product.ts'

/** Each breaks one promise of delivery; the simulator must notice. */
export const mutants: readonly Mutant[] = [
  {
    name: 'deliver a timer 1 s early',
    patches: [
      {
        file: 'delay/deliveries.js',
        from: 'this.#table.takeDue(now, steady);',
        to: 'this.#table.takeDue(now + 1000, steady + 1000);',
      },
    ],
  },
  {
    name: 'ack removes the wrong receipt',
    patches: [
      {
        file: 'queueing/lease/lease-book.js',
        from: `        this.#settle(lease);
        return 'acked';`,
        to: `        this.#settle([...queue.leases].find((other) => other !== lease) ?? lease);
        return 'acked';`,
      },
    ],
  },
  {
    name: 'rebalance hands one key to two',
    patches: [
      {
        of: 'client',
        file: 'rebalance.js',
        from: 'return queues.slice(start, start + Math.max(0, Math.min(size, queues.length - start)));',
        to: 'return queues.slice(start, start + Math.max(0, Math.min(size, queues.length - start)) + 1);',
      },
      {
        file: 'queueing/queue-locks.js',
        from: 'if (held !== undefined && held.clientId !== clientId && held.expiresAt > now)',
        to: 'if (false)',
      },
    ],
  },
  {
    name: 'consumer acks before the handler ends',
    patches: [
      {
        of: 'client',
        file: 'handler-runner.js',
        from: 'if (isThenable(result)) {',
        to: `if (isThenable(result)) {
            result.then(() => {}, () => {});
            return this.#returned(source, delivery, context);`,
      },
    ],
  },
  {
    name: 'dedup not persisted',
    patches: [
      { file: 'rooms.js', from: 'replayed.dedup.replay(record, bytes);', to: '' },
      {
        file: 'dedup/key-rings.js',
        from: 'for (let left = reader.number(); left > 0; left--)',
        to: 'for (let left = 0; left > 0; left--)',
      },
    ],
  },
]

/** @throws when a patch does not match exactly one place of the built packages */
export async function mutantProduct(mutant: Mutant): Promise<Product> {
  const client = (await import(pathToFileURL(patchedCopy(mutant, 'client')).href)) as Product['client']
  return { startBroker: await mutantBroker(mutant), client }
}
