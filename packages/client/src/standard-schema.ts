import { ClientError } from './client-error.ts'

/**
 * A schema of any library that speaks Standard Schema v1 (zod 3.24+, valibot 1.0+, arktype 2.0+ and others): the part of
 * https://standardschema.dev that is used here, so that none of them is a dependency.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

const ISSUES_NAMED_MAX = 5

/** `amount: expected number; lines.0.sku: required`, at most five of them: the reason travels in a message property. */
export function issuesText(issues: readonly SchemaIssue[]): string {
  const named = issues.slice(0, ISSUES_NAMED_MAX).map(({ path, message }) => {
    const keys = path?.map((part) => String(typeof part === 'object' ? part.key : part)) ?? []
    return keys.length === 0 ? message : `${keys.join('.')}: ${message}`
  })
  const more = issues.length - named.length
  return more > 0 ? `${named.join('; ')}; and ${more} more` : named.join('; ')
}

/**
 * What the schema makes of `value`, at once or later, as the schema answers.
 * @param what the subject of the error, as in `payload for orders`
 * @throws {ClientError} PAYLOAD_INVALID with the issues in the text and the whole list as `cause`
 */
export function conform<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  const result = schema['~standard'].validate(value)
  // Not instanceof: a test runner's realm has a Promise of its own.
  return 'then' in result ? Promise.resolve(result).then((late) => outputOf(late, what)) : outputOf(result, what)
}

function outputOf<Output>(result: SchemaResult<Output>, what: string): Output {
  if (result.issues === undefined) return result.value
  throw new ClientError('PAYLOAD_INVALID', `${what} does not fit the schema: ${issuesText(result.issues)}`, {
    cause: result.issues,
  })
}
