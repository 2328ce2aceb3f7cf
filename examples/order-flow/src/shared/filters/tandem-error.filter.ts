import { type ArgumentsHost, Catch, ServiceUnavailableException } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { TandemError } from '@tandemmq/nestjs'

/** What may work in a moment (no answer, no broker) is a 503: try again. Anything else is a mistake of ours. */
@Catch(TandemError)
export class TandemErrorFilter extends BaseExceptionFilter {
  override catch(error: TandemError, host: ArgumentsHost): void {
    super.catch(error.retryable ? new ServiceUnavailableException(error.message) : error, host)
  }
}
