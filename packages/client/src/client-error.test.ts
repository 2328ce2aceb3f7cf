import { expect, test } from 'vitest'
import { errorOfAnswer } from './client-error.ts'

test('a refusal carries the code the broker put in front of its remark', () => {
  const codeOf = (code: number, remark?: string): string => errorOfAnswer(code, remark, 'send').code
  expect(codeOf(13, '[MESSAGE_TOO_LARGE] the body has 5 bytes')).toBe('MESSAGE_TOO_LARGE')
  expect(codeOf(29, '[TOPIC_NAME_INVALID] the topic name is blank')).toBe('TOPIC_NAME_INVALID')
  expect(codeOf(13, 'the message is illegal')).toBe('MESSAGE_ILLEGAL')
  expect(codeOf(13)).toBe('MESSAGE_ILLEGAL')
})

test('a remark never changes what a response code says about retrying', () => {
  expect(errorOfAnswer(14, '[STORE_FENCED] the disk failed', 'send')).toMatchObject({
    code: 'SERVICE_NOT_AVAILABLE',
    retryable: true,
  })
  expect(errorOfAnswer(2, '[TIMEOUT_CLEAN_QUEUE] broker busy', 'send').code).toBe('SYSTEM_BUSY')
  // Another response code than the named reason has, and a name of Object.
  expect(errorOfAnswer(13, '[TOPIC_NAME_INVALID] x', 'send').code).toBe('MESSAGE_ILLEGAL')
  expect(errorOfAnswer(13, '[constructor] x', 'send').code).toBe('MESSAGE_ILLEGAL')
})
