import { createHash } from 'node:crypto'
import { ClientError } from '../../client-error.ts'
import type { MessageQueue } from '../../cluster/route.ts'
import { queueKey } from '../../cluster/route.ts'
import { averageShare } from './rebalance.ts'

/**
 * Shares the queues of one topic among the members of a group. Every member computes its own share, so all must use the same
 * function on the same input: no queue may end up with two members, none with nobody (unless that is wanted).
 * @param queues sorted by broker name and queue id
 * @param members client ids, sorted, `me` among them
 * @returns the queues of `me`
 */
export type Allocate = (
  queues: readonly MessageQueue[],
  members: readonly string[],
  me: string,
) => readonly MessageQueue[]

/** Consecutive queues, shares that differ by one at most: the default here and in Java (AllocateMessageQueueAveragely). */
export const allocateAveragely: Allocate = averageShare

/** Queue k goes to member k modulo members (AllocateMessageQueueAveragelyByCircle). */
export const allocateByCircle: Allocate = (queues, members, me) => {
  const index = members.indexOf(me)
  return index < 0 ? [] : queues.filter((_, k) => k % members.length === index)
}

/** Always these queues, whoever else is there (AllocateMessageQueueByConfig). */
export function allocateByConfig(mine: readonly MessageQueue[]): Allocate {
  const wanted = new Set(mine.map(queueKey))
  return (queues) => queues.filter((queue) => wanted.has(queueKey(queue)))
}

/**
 * Few queues move when a member comes or goes (AllocateMessageQueueConsistentHash): members stand on a ring `virtualNodes` times
 * each, a queue belongs to the next one behind its hash.
 * @param virtualNodes default 10, as Java
 */
export function allocateConsistentHash({ virtualNodes = 10 } = {}): Allocate {
  if (!Number.isInteger(virtualNodes) || virtualNodes < 1) {
    throw new ClientError('OPTION_INVALID', `virtualNodes must be a whole number of at least 1, not ${virtualNodes}`)
  }
  return (queues, members, me) => {
    const ring = new Map<number, string>()
    for (const member of members) for (let k = 0; k < virtualNodes; k++) ring.set(ringHash(`${member}-${k}`), member)
    const places = [...ring.keys()].toSorted((a, b) => a - b)
    return queues.filter((queue) => {
      const { topic, brokerName, queueId } = queue
      const hash = ringHash(`MessageQueue [topic=${topic}, brokerName=${brokerName}, queueId=${queueId}]`)
      const place = places.find((one) => one >= hash) ?? places[0]
      return place !== undefined && ring.get(place) === me
    })
  }
}

/**
 * Only queues of brokers in `rooms`, a broker `room1@b` being in room1 (AllocateMessageQueueByMachineRoom). Members get consecutive
 * queues, what is left over goes one each to the first ones.
 */
export function allocateByMachineRoom(rooms: readonly string[]): Allocate {
  const known = new Set(rooms)
  return (queues, members, me) => {
    const index = members.indexOf(me)
    if (index < 0) return []
    const ours = queues.filter(({ brokerName }) => {
      const parts = brokerName.split('@')
      return parts.length === 2 && known.has(parts[0] ?? '')
    })
    const size = Math.floor(ours.length / members.length)
    const wholePart = size * members.length
    return [...ours.slice(index * size, (index + 1) * size), ...ours.slice(wholePart + index, wholePart + index + 1)]
  }
}

/** Where brokers and members stand. */
export interface MachineRooms {
  brokerRoom(queue: MessageQueue): string
  memberRoom(clientId: string): string
}

/**
 * Queues go to members of the broker's room; rooms without a member are shared by all (AllocateMachineRoomNearby).
 * @param inner shares within a room
 */
export function allocateNearby(rooms: MachineRooms, inner: Allocate = allocateAveragely): Allocate {
  return (queues, members, me) => {
    const inhabited = new Set(members.map((member) => rooms.memberRoom(member)))
    const here = rooms.memberRoom(me)
    const neighbours = members.filter((member) => rooms.memberRoom(member) === here)
    const byRoom = new Map<string, MessageQueue[]>()
    for (const queue of queues) {
      const room = rooms.brokerRoom(queue)
      byRoom.set(room, [...(byRoom.get(room) ?? []), queue])
    }
    return [...byRoom].flatMap(([room, ours]) => {
      if (room === here) return inner(ours, neighbours, me)
      return inhabited.has(room) ? [] : inner(ours, members, me)
    })
  }
}

/** The first 4 bytes of the MD5, unsigned (ConsistentHashRouter). */
function ringHash(key: string): number {
  return createHash('md5').update(key, 'utf8').digest().readUInt32BE(0)
}
