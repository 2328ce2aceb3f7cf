import { Inject, Injectable } from '@nestjs/common'
import type { InjectionToken, Type } from '@nestjs/common'
import { ModuleRef } from '@nestjs/core'
import { TandemError } from '@tandemmq/client'
import { tandemConnectionToken } from '../inject.ts'
import type { ConnectionHost, TandemOverrides } from '../module-options.ts'
import { TandemEvents } from '../tandem-events.ts'
import { DEFAULT_CONNECTION, TANDEM_OVERRIDES } from '../tokens.ts'
import type { TandemConnection } from './tandem-connection.ts'

/** The connections of an application by name. */
@Injectable()
export class TandemConnections implements ConnectionHost {
  readonly overrides: TandemOverrides
  readonly events = new TandemEvents()
  private readonly moduleRef: ModuleRef
  private readonly open = new Set<object>()
  private readonly known = new Map<string, object>()

  constructor(@Inject(ModuleRef) moduleRef: ModuleRef, @Inject(TANDEM_OVERRIDES) overrides: TandemOverrides) {
    this.moduleRef = moduleRef
    this.overrides = overrides
  }

  /** Of the connections that `forRoot` was called for, in that order. */
  get names(): string[] {
    return [...this.known.keys()]
  }

  /** @throws {TandemError} OPTION_INVALID when no `TandemModule.forRoot` has that name */
  get(name: string = DEFAULT_CONNECTION): TandemConnection {
    try {
      return this.lookUp(tandemConnectionToken(name))
    } catch (cause) {
      const call = name === DEFAULT_CONNECTION ? 'forRoot({ … })' : `forRoot({ name: '${name}', … })`
      throw new TandemError(
        'OPTION_INVALID',
        `there is no connection "${name}": TandemModule.${call} is not imported`,
        {
          cause,
        },
      )
    }
  }

  lookUp<T>(token: InjectionToken<T>): T {
    return this.moduleRef.get(token as Type<T>, { strict: false })
  }

  opened(part: object, name?: string): void {
    if (name !== undefined) {
      if (this.known.has(name)) {
        const detail = `two TandemModule.forRoot have the name "${name}"; give the second one a name of its own`
        throw new TandemError('OPTION_INVALID', detail)
      }
      this.known.set(name, part)
    }
    this.open.add(part)
  }

  async closed(part: object): Promise<void> {
    if (this.open.delete(part) && this.open.size === 0) await this.overrides.closed?.()
  }
}
