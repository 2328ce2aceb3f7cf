import { applyDecorators, Inject, Injectable, SetMetadata, UseInterceptors } from '@nestjs/common'
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common'
import type { ConsumedMessage } from '@tandemmq/client'
import { from, lastValueFrom } from 'rxjs'
import type { Observable } from 'rxjs'
import type { TandemConnection } from '../connection/tandem-connection.ts'
import { TandemConnections } from '../connection/tandem-connections.ts'
import type { FoundListener } from './listener-discovery.ts'
import type { Invocation } from './listener-invoker.ts'
import type { InboxSettings } from './listener-options.ts'
import { TandemContext } from './tandem-context.ts'

const SETTINGS = 'tandemmq.idempotent'

/** Effect, memory of the message and what is enqueued are one transaction; a repeat has no effect and no value. */
export function withInbox(
  connection: TandemConnection,
  group: string,
  settings: InboxSettings,
  invoke: Invocation,
): Invocation {
  return (payload, context) => once(connection, group, settings, context, () => invoke(payload, context))
}

async function once(
  connection: TandemConnection,
  group: string,
  settings: InboxSettings,
  context: TandemContext,
  work: () => unknown,
): Promise<unknown> {
  const inbox = await connection.inbox(group, settings)
  let value: unknown
  const handler = inbox.handler(async (_: ConsumedMessage, trx, messages) => {
    value = await connection.scopes.run({ trx, messages }, work)
  })
  await handler(context.getMessage())
  return value
}

/** True for a method with {@link Idempotent}. */
export function isIdempotent({ metatype, method }: FoundListener): boolean {
  const callback = (metatype.prototype as Record<string, object>)[method] as object
  return Reflect.hasMetadata(SETTINGS, callback) || Reflect.hasMetadata(SETTINGS, metatype)
}

/** What {@link Idempotent} puts around a method. Calls that are no deliveries of a message pass. */
@Injectable()
export class IdempotentInterceptor implements NestInterceptor {
  private readonly connections: TandemConnections

  constructor(@Inject(TandemConnections) connections: TandemConnections) {
    this.connections = connections
  }

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const context: unknown = execution.getType() === 'rpc' ? execution.switchToRpc().getContext() : undefined
    if (!(context instanceof TandemContext)) return next.handle()
    const settings: InboxSettings & { connection?: string } =
      Reflect.getMetadata(SETTINGS, execution.getHandler()) ?? Reflect.getMetadata(SETTINGS, execution.getClass()) ?? {}
    const { connection: name, ...remembering } = settings
    const connection = this.connections.get(name)
    const work = (): unknown => lastValueFrom(next.handle(), { defaultValue: undefined })
    return from(once(connection, context.getGroup(), remembering, context, work))
  }
}

/**
 * Has a listener's method, or a handler of a controller, take effect once per message and group: it runs in a database
 * transaction that also remembers the message and carries what it enqueues, so a repeat is skipped and a failure takes all of
 * it back. Work through `TandemTemplate.currentTransaction()`; the module needs `outbox`. Guards run outside of it, pipes inside.
 * For listeners the same as the option `inbox`; use one of them.
 * @param settings how it is remembered, and the connection whose database it is when that is not the default one
 */
export function Idempotent(settings: InboxSettings & { connection?: string } = {}): MethodDecorator & ClassDecorator {
  return applyDecorators(SetMetadata(SETTINGS, settings), UseInterceptors(IdempotentInterceptor))
}
