// Rules of TopicValidator.java and Validators.java (remoting.md 3.7), compared with the Java verdicts by test/wire.

export const TOPIC_LENGTH_MAX = 127
/** Longest %RETRY% or %DLQ% topic: brokers make them of the longest group names. */
export const GROUP_TOPIC_LENGTH_MAX = 262
export const GROUP_LENGTH_MAX = 255

const RETRY_PREFIX = '%RETRY%'
const DEAD_LETTER_PREFIX = '%DLQ%'
const SYSTEM_PREFIX = 'rmq_sys_'

/** Topics of the broker itself. */
export const SystemTopic = {
  /** Template of auto-created topics. */
  DEFAULT: 'TBW102',
  SCHEDULE: 'SCHEDULE_TOPIC_XXXX',
  BENCHMARK: 'BenchmarkTest',
  TIMER: 'rmq_sys_wheel_timer',
  HALF: 'RMQ_SYS_TRANS_HALF_TOPIC',
  OP_HALF: 'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  /** Messages held back until a half message of their ordering key is settled. */
  HELD: 'RMQ_SYS_TANDEM_HELD_TOPIC',
  TRACE: 'RMQ_SYS_TRACE_TOPIC',
  CHECK_MAX_TIME: 'TRANS_CHECK_MAX_TIME_TOPIC',
  SELF_TEST: 'SELF_TEST_TOPIC',
  OFFSET_MOVED: 'OFFSET_MOVED_EVENT',
  CHECKPOINT: 'CHECKPOINT_TOPIC',
} as const

const systemTopics: ReadonlySet<string> = new Set(Object.values(SystemTopic))

const forbiddenTopics: ReadonlySet<string> = new Set([
  SystemTopic.SCHEDULE,
  SystemTopic.HALF,
  SystemTopic.OP_HALF,
  SystemTopic.HELD,
  SystemTopic.CHECK_MAX_TIME,
  SystemTopic.SELF_TEST,
  SystemTopic.OFFSET_MOVED,
])

/**
 * What is wrong with a topic name, undefined when nothing is. Beyond the Java rule a dot may stand between two other
 * characters (`stock.level`): our broker serves such topics, an Apache broker refuses them.
 */
export function topicNameProblem(name: string): string | undefined {
  return nameProblem(
    'topic',
    name,
    isRetryTopic(name) || isDeadLetterTopic(name) ? GROUP_TOPIC_LENGTH_MAX : TOPIC_LENGTH_MAX,
  )
}

/** What is wrong with a group name, undefined when nothing is. */
export function groupNameProblem(name: string): string | undefined {
  return nameProblem('group', name, GROUP_LENGTH_MAX)
}

function nameProblem(kind: string, name: string, lengthMax: number): string | undefined {
  if (name.trim() === '') return `the ${kind} name is blank`
  if (name.length > lengthMax) return `the ${kind} name has ${name.length} characters, at most ${lengthMax} are allowed`
  const legal = kind === 'topic' ? /^[%|a-zA-Z0-9_-]+(?:\.[%|a-zA-Z0-9_-]+)*$/ : /^[%|a-zA-Z0-9_-]+$/
  if (!legal.test(name)) {
    const dots = kind === 'topic' ? ', and single dots between them' : ''
    return `the ${kind} name ${JSON.stringify(name)} has other characters than letters, digits and % | _ -${dots}`
  }
  return undefined
}

/** Topic that holds the messages a consumer group will try again. */
export function retryTopic(group: string): string {
  return RETRY_PREFIX + group
}

/** Topic that holds the messages a consumer group has given up. */
export function deadLetterTopic(group: string): string {
  return DEAD_LETTER_PREFIX + group
}

export function isRetryTopic(name: string): boolean {
  return name.startsWith(RETRY_PREFIX)
}

export function isDeadLetterTopic(name: string): boolean {
  return name.startsWith(DEAD_LETTER_PREFIX)
}

/** The broker's own: hidden from lists, never deleted, never created by clients. */
export function isSystemTopic(name: string): boolean {
  return systemTopics.has(name) || name.startsWith(SYSTEM_PREFIX)
}

/** System topics no client may send to. */
export function isSendForbidden(name: string): boolean {
  return forbiddenTopics.has(name)
}
