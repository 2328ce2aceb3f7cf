import { type ArgumentsHost, BadRequestException, Catch, ConflictException } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { DatabaseError } from 'pg'
import { isRefusal, isRepeat } from '../database/postgres-error.ts'

/** What Postgres refuses is the request's mistake, not the server's. */
@Catch(DatabaseError)
export class PostgresErrorFilter extends BaseExceptionFilter {
  override catch(error: DatabaseError, host: ArgumentsHost): void {
    super.catch(httpErrorOf(error), host)
  }
}

function httpErrorOf(error: DatabaseError): Error {
  if (isRepeat(error)) return new ConflictException(error.detail)
  return isRefusal(error) ? new BadRequestException(error.detail) : error
}
