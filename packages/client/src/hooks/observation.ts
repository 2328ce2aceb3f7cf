import type { ClientCore } from '../cluster/client-core.ts'
import { checkedHooks, HookList } from './hook-list.ts'
import type { HookOptions } from './hooks.ts'
import { TraceHook, traceTopicOf } from './trace-hook.ts'

/** What looks on at one client: undefined hooks cost nothing. */
export interface Observation {
  readonly hooks: HookList | undefined
  readonly trace: TraceHook | undefined
}

/** @throws {ClientError} OPTION_INVALID, TOPIC_NAME_INVALID */
export function observationOf(core: ClientCore, group: string, options: HookOptions): Observation {
  const hooks = checkedHooks(options.hooks)
  const topic = traceTopicOf(options.trace)
  const trace = topic === undefined ? undefined : new TraceHook(core, group, topic)
  // Last in the list, so nearest to the message: what other hooks do is not part of the time it reports.
  const all = trace === undefined ? hooks : [...hooks, trace]
  return { hooks: all.length === 0 ? undefined : new HookList(all, core.clock, core.logger), trace }
}
