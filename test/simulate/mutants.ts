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
        file: 'queueing/lease/lease-receipts.js',
        from: `        this.#onSettled(lease);
        return 'acked';`,
        to: `        this.#onSettled([...queue.leases].find((other) => other !== lease) ?? lease);
        return 'acked';`,
      },
    ],
  },
  {
    name: 'rebalance hands one key to two',
    patches: [
      {
        of: 'client',
        file: 'consumer/queue/rebalance.js',
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
        file: 'consumer/handler-runner.js',
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
  {
    name: 'redriven dead letters are not remembered',
    patches: [{ file: 'retry/redrive-service.js', from: 'this.#redriven.add(place);', to: '' }],
  },
  {
    name: 'a rescheduled timer keeps its old time',
    patches: [
      {
        file: 'delay/timer-changes.js',
        from: 'onMoved(physicalOffset, { dueAt, fingerprint, isRetry: false });',
        to: 'onMoved(physicalOffset, { dueAt: table.dueAt(id), fingerprint, isRetry: false });',
      },
    ],
  },
  {
    name: 'the lowest priority goes first',
    patches: [
      {
        file: 'queueing/lease/priorities.js',
        from: 'Array.from({ length: count }, (_, n) => count - 1 - n);',
        to: 'Array.from({ length: count }, (_, n) => n);',
      },
    ],
  },
  {
    name: 'retries go by the wall clock',
    patches: [
      {
        file: 'delay/delay-service.js',
        from: 'isRetry ? (steadyDueAt ?? this.#steadyOf(dueAt)) : undefined',
        to: 'undefined',
      },
    ],
  },
  {
    name: 'a reply goes to whoever asked first',
    patches: [
      {
        of: 'client',
        file: 'producer/requester.js',
        from: "this.#waiting.get(properties[PropertyName.CORRELATION_ID] ?? '')",
        to: '[...this.#waiting.values()][0]',
      },
    ],
  },
  {
    name: 'tags are not compared',
    patches: [
      { file: 'queueing/heartbeat.js', from: 'tagFilter(text, asked)', to: "tagFilter('*', [])" },
      {
        of: 'client',
        file: 'consumer/subscription.js',
        from: "data.expressionType === 'TAG' && data.tagsSet.length > 0 ? new Set(data.tagsSet) : undefined",
        to: 'undefined',
      },
    ],
  },
  {
    name: 'of several tags the first counts',
    patches: [
      {
        of: 'client',
        file: 'consumer/subscription.js',
        from: 'new Set(data.tagsSet) : undefined',
        to: 'new Set(data.tagsSet.slice(0, 1)) : undefined',
      },
    ],
  },
]

/** @throws when a patch does not match exactly one place of the built packages */
export async function mutantProduct(mutant: Mutant): Promise<Product> {
  const client = (await import(pathToFileURL(patchedCopy(mutant, 'client')).href)) as Product['client']
  return { startBroker: await mutantBroker(mutant), client }
}
