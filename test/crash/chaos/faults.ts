import type { SeededRandom } from '../../kit/seeded-random.ts'
import { elapse } from '../../kit/waiting.ts'
import type { ChaosWorld, Client } from './chaos-world.ts'

const SEND_MESSAGE_V2 = 310

/** One fault of the broker, from its beginning until the broker serves again. */
export async function hurtBroker(world: ChaosWorld, random: SeededRandom): Promise<void> {
  const dice = random.next()
  if (dice < 0.5) {
    world.fault('kill', 'broker')
    // One in four is killed again while it recovers.
    const againMs = random.next() < 0.25 ? random.between(0, 400) : undefined
    world.ended('kill', 'broker', await world.restartBroker('SIGKILL', againMs))
  } else if (dice < 0.7) {
    world.fault('terminate', 'broker')
    world.ended('terminate', 'broker', await world.restartBroker('SIGTERM'))
  } else {
    world.fault('stop', 'broker')
    world.broker.signal('SIGSTOP')
    await elapse(random.between(200, 3_500))
    world.broker.signal('SIGCONT')
    world.ended('stop', 'broker')
  }
}

type ClientFault = (world: ChaosWorld, client: Client, random: SeededRandom) => Promise<void>

const kill: ClientFault = async (world, client, random) => {
  const target = client.proc
  world.fault('kill', target)
  await world.restart(client, 'SIGKILL', random.between(0, 2_500))
  world.ended('kill', target)
}

const terminate: ClientFault = async (world, client, random) => {
  const target = client.proc
  world.fault('terminate', target)
  await world.restart(client, 'SIGTERM', random.between(0, 2_500))
  world.ended('terminate', target)
}

/** Shorter and longer than a lease, and than what makes a member dead. */
const stop: ClientFault = async (world, client, random) => {
  world.fault('stop', client.proc)
  client.program.signal('SIGSTOP')
  await elapse(random.between(200, random.next() < 0.3 ? 11_000 : 4_500))
  client.program.signal('SIGCONT')
  world.ended('stop', client.proc)
}

const cut: ClientFault = async (world, client, random) => {
  world.fault('cut', client.proc)
  client.proxy.cut()
  await elapse(random.between(200, 5_000))
  client.proxy.heal()
  world.ended('cut', client.proc)
}

const reset: ClientFault = async (world, client) => {
  world.fault('reset', client.proc)
  client.proxy.reset()
  world.ended('reset', client.proc)
}

const delay: ClientFault = async (world, client, random) => {
  world.fault('delay', client.proc)
  client.proxy.delay(random.between(20, 400))
  await elapse(random.between(500, 3_000))
  client.proxy.delay(0)
  world.ended('delay', client.proc)
}

const dropReply: ClientFault = async (world, client, random) => {
  world.fault('dropReply', client.proc)
  const isProducer = client.name.startsWith('p')
  void client.proxy.dropReply(random.between(1, 3), isProducer ? SEND_MESSAGE_V2 : undefined)
  world.ended('dropReply', client.proc)
}

const clientFaults = [kill, kill, kill, terminate, terminate, stop, stop, cut, cut, reset, delay, dropReply]

/** One fault of one client, from its beginning to its end. */
export function hurtClient(world: ChaosWorld, client: Client, random: SeededRandom): Promise<void> {
  return random.pick(clientFaults)(world, client, random)
}
