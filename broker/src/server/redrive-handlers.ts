import { errorTable, groupNameProblem, ResponseCode, TandemRequestCode } from '@tandemmq/protocol'
import { BrokerError } from '../broker-error.ts'
import { fieldsOf, listOf, numberOf, textOf } from '../queueing/index.ts'
import type { RedriveService } from '../retry/index.ts'
import type { Handler } from './handler.ts'
import { answer, jsonBody, replyTo } from './request-body.ts'

/** Dead letters of one request: each becomes one append of the same turn. */
const OFFSETS_MAX = 1_000

/**
 * TandemMQ's own requests about dead letters; offsets are those of the group's dead letter queue:
 *
 * - DEAD_LETTER_STATE 9130: `{"group", "from", "count" <= 1000}`, answer `{"minOffset", "maxOffset", "redriven": [offset, …]}`
 * - REDRIVE_DEAD_LETTERS 9131: `{"group", "offsets": [≤ 1000]}`, answer `{"redriven", "already", "gone"}` once all copies are stored
 */
export function redriveHandlers({ redrives }: { redrives: RedriveService }): Map<number, Handler> {
  const state: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const group = groupOf(body)
    const from = numberOf(body['from'], 0)
    const count = Math.min(numberOf(body['count'], OFFSETS_MAX), OFFSETS_MAX)
    answer(connection, header, { body: JSON.stringify(redrives.redrivenOf(group, from, count)) })
  }
  const redrive: Handler = (connection, header) => {
    const body = fieldsOf(jsonBody(header), 'the body')
    const group = groupOf(body)
    const offsets = listOf(body, 'offsets')
    if (offsets.length > OFFSETS_MAX || !offsets.every((one) => Number.isSafeInteger(one) && (one as number) >= 0)) {
      throw new BrokerError('INVALID_PARAMETER', `offsets must be a list of at most ${OFFSETS_MAX} offsets`)
    }
    const request = replyTo(header)
    redrives.redrive(group, offsets as number[], (error, result) => {
      if (error === undefined) return answer(connection, request, { body: JSON.stringify(result) })
      const code = errorTable[error.code].remote ?? ResponseCode.SYSTEM_ERROR
      answer(connection, request, { code, remark: error.message })
    })
  }
  return new Map([
    [TandemRequestCode.DEAD_LETTER_STATE, state],
    [TandemRequestCode.REDRIVE_DEAD_LETTERS, redrive],
  ])
}

function groupOf(body: Record<string, unknown>): string {
  const group = textOf(body, 'group')
  const problem = groupNameProblem(group)
  if (problem !== undefined) throw new BrokerError('GROUP_NAME_INVALID', problem)
  return group
}
