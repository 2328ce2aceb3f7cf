import {
  errorTable,
  type FieldName,
  type HeaderView,
  parseLenientJson,
  ProtocolError,
  ResponseCode,
  TandemError,
} from '@tandemmq/protocol'
import type { Connection } from '@tandemmq/remoting'

/** @throws {ProtocolError} FIELD_INVALID when the body is not JSON in any dialect */
export function jsonBody(header: HeaderView): unknown {
  const text = header.bytes.toString('utf8', header.bodyStart, header.bodyEnd)
  try {
    return parseLenientJson(text)
  } catch (error) {
    throw new ProtocolError('FIELD_INVALID', 'the body is not JSON', { cause: error })
  }
}

export function textOr<T>(header: HeaderView, name: FieldName, absent: T): string | T {
  const at = header.find(name)
  return at < 0 ? absent : header.text(at)
}

export function integerOr(header: HeaderView, name: FieldName, absent: number): number {
  const at = header.find(name)
  return at < 0 ? absent : header.integer(at)
}

export function longOr(header: HeaderView, name: FieldName, absent: number): number {
  const at = header.find(name)
  return at < 0 ? absent : header.longClamped(at)
}

export function flagOr(header: HeaderView, name: FieldName, absent: boolean): boolean {
  const at = header.find(name)
  return at < 0 ? absent : header.flagOf(at)
}

/** What an answer needs of its request after the call that brought it. */
export interface ReplyTo {
  readonly opaque: number
  readonly serialization: 0 | 1
  readonly isOneway: boolean
}

export function replyTo({ opaque, serialization, isOneway }: HeaderView): ReplyTo {
  return { opaque, serialization, isOneway }
}

/** Answers a cold request, unless it is one-way. `body` is JSON text. */
export function answer(
  connection: Connection,
  request: ReplyTo,
  init: { code?: number; remark?: string; extFields?: Record<string, string | number | boolean>; body?: string } = {},
): void {
  if (request.isOneway || !connection.isOpen) return
  const { code = ResponseCode.SUCCESS, remark, extFields = {}, body } = init
  connection.reply(request, {
    code,
    extFields,
    ...(remark === undefined ? {} : { remark }),
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  })
}

/** Answers when `work` is done; its error becomes the answer. */
export function answerAfter<T>(
  connection: Connection,
  header: HeaderView,
  work: Promise<T>,
  then: (result: T, request: ReplyTo) => void = (_result, request) => answer(connection, request),
): void {
  const request = replyTo(header)
  work
    .then((result) => then(result, request))
    .catch((error: unknown) => {
      const remote = error instanceof TandemError ? errorTable[error.code].remote : undefined
      const remark = error instanceof Error ? error.message : String(error)
      answer(connection, request, { code: remote ?? ResponseCode.SYSTEM_ERROR, remark })
    })
}
