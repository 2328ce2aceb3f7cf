import { backOffMs } from '../back-off.ts'
import { messageOf } from '../client-error.ts'
import type { ClientCore } from './client-core.ts'

/**
 * Looks for the brokers and registers with them; when none is found, again and again with growing pauses (200 ms to 5 s),
 * because a program that only answers check-backs never asks for the route of a topic, and would be known to nobody.
 * @param who for the log
 * @returns after the first attempt
 */
export async function searchBrokers(core: ClientCore, who: string, failures = 0): Promise<void> {
  try {
    const brokers = await core.routes.discover()
    if (brokers.length > 0) return void (await core.heartbeat())
    if (failures === 0) core.logger.warn(`${who} found no broker yet: the name servers name none`)
  } catch (error) {
    if (failures === 0) core.logger.warn(`${who} found no broker yet: ${messageOf(error)}`)
  }
  core.clock.setTimer(backOffMs(core.clock, failures), () => {
    if (core.isStarted) void searchBrokers(core, who, failures + 1)
  })
}
