import { Logger } from '@nestjs/common'

const logger = new Logger('Tandem')

/** What client and outbox report goes where the application logs; its levels decide what is shown. */
export const nestLogger = {
  debug: (text: string, ...details: unknown[]): void => logger.debug(text, ...details),
  info: (text: string, ...details: unknown[]): void => logger.log(text, ...details),
  warn: (text: string, ...details: unknown[]): void => logger.warn(text, ...details),
  error: (text: string, ...details: unknown[]): void => logger.error(text, ...details),
}
