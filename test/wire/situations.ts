import type { BrokerOptions } from '@tandemmq/broker'
import { decodeCommand, RequestCode } from '@tandemmq/protocol'
import type { GoldenFrame } from './golden.ts'

export interface RecordedTopic {
  queues: number
  perm: number
}

/** What stood around a recorded program. */
export interface Situation {
  options: Partial<BrokerOptions>
  topics: Map<string, RecordedTopic>
  /** Topics that hold messages already. */
  filled: string[]
  /** A producer and a consumer of topic `background` stand by. */
  hasBackground: boolean
  /** Wall clock when the recording began: times inside messages must lie as far ahead as they did. */
  startAt: number
}

type Setup = Partial<Pick<Situation, 'options' | 'filled' | 'hasBackground'>> & {
  topics?: Record<string, RecordedTopic>
}

const used: Setup = { topics: { pullOffsets: { queues: 1, perm: 6 } }, filled: ['pullOffsets'] }

/** Set up before the recording began, so the frames do not show it. */
const setups: readonly [RegExp, Setup][] = [
  [/^error-message-too-large/, { options: { messageBytesMax: 1024 } }],
  [/^error-topic-not-exist/, { options: { autoCreateTopic: false } }],
  [
    /^error-no-permission/,
    { topics: { errorReadOnly: { queues: 1, perm: 4 }, errorWriteOnly: { queues: 1, perm: 2 } } },
  ],
  [/^error-(subscription|group|send-back)/, used],
  [/^mqadmin-/, { topics: { background: { queues: 1, perm: 6 } }, hasBackground: true }],
]

export function situationOf(file: string, frames: readonly GoldenFrame[]): Situation {
  const setup = setups.find(([pattern]) => pattern.test(file))?.[1] ?? {}
  return {
    options: setup.options ?? {},
    topics: new Map([...topicsOf(frames), ...Object.entries(setup.topics ?? {})]),
    filled: setup.filled ?? [],
    hasBackground: setup.hasBackground ?? false,
    startAt: startOf(frames),
  }
}

/** Topics the recorded name server knew from the start. */
function topicsOf(frames: readonly GoldenFrame[]): Map<string, RecordedTopic> {
  const topics = new Map<string, RecordedTopic>()
  const asked = new Map<string, string>()
  const unknown = new Set<string>()
  for (const { frame, dir, code, opaque, request, conn, body } of frames) {
    if (dir === 'request' && code === RequestCode.GET_ROUTEINFO_BY_TOPIC) {
      asked.set(`${conn} ${opaque}`, decodeCommand(frame).extFields['topic'] ?? '')
    }
    if (dir !== 'response' || request !== RequestCode.GET_ROUTEINFO_BY_TOPIC) continue
    const topic = asked.get(`${conn} ${opaque}`) ?? ''
    if (code !== 0) unknown.add(topic)
    else if (!unknown.has(topic) && !topics.has(topic)) topics.set(topic, recordedTopic(body))
  }
  return topics
}

function recordedTopic(route: Buffer): RecordedTopic {
  const text = route.toString()
  const numberOf = (name: string): number => Number(new RegExp(`"${name}":(\\d+)`).exec(text)?.[1])
  return { queues: numberOf('readQueueNums'), perm: numberOf('perm') }
}

function startOf(frames: readonly GoldenFrame[]): number {
  for (const { frame, dir, ms } of frames) {
    const { extFields } = decodeCommand(frame)
    const born = Number(extFields['g'] ?? extFields['bornTimestamp'])
    if (dir === 'request' && born > 1_700_000_000_000) return born - Math.floor(ms)
  }
  return 1_795_222_000_000
}
