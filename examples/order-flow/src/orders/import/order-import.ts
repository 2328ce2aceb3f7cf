import { setTimeout as sleep } from 'node:timers/promises'
import { Inject, Injectable, Logger } from '@nestjs/common'
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common'
import { ConfigService } from '@nestjs/config'
import { TandemError } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../../shared/database/database.module.ts'
import type { Order } from '../../shared/order.ts'
import { isRefusal, isRepeat } from '../../shared/database/postgres-error.ts'
import type { Settings } from '../../shared/settings.ts'
import { CreditExceeded } from '../credit-exceeded.ts'
import { OrdersService } from '../orders.service.ts'
import { readOrdersFile } from './orders-file.ts'

const RETRY_MS = 500

/**
 * Places the orders of ORDERS_FILE, if there is one, as they came in. Started again, it goes on where it was: what is in the
 * tables was done, however the process before it ended.
 */
@Injectable()
export class OrderImport implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger('OrderImport')
  private readonly stop = new AbortController()
  private work: Promise<void> = Promise.resolve()

  constructor(
    @Inject(KNEX) private readonly knex: Knex,
    private readonly orders: OrdersService,
    private readonly config: ConfigService<Settings, true>,
  ) {}

  onApplicationBootstrap(): void {
    const file = this.config.get('ORDERS_FILE', { infer: true })
    if (file === undefined) return
    this.work = this.run(readOrdersFile(file)).catch((error: unknown) => {
      if (!this.stop.signal.aborted) this.logger.error('the import ended early', error)
    })
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stop.abort()
    await this.work
  }

  private async run(orders: Order[]): Promise<void> {
    const done = await this.done()
    const pauseMs = 1_000 / this.config.get('ORDERS_PER_SECOND', { infer: true })
    // One customer's orders one after the other (each depends on the credit the last one left), customers side by side.
    const lastOf = new Map<string, Promise<void>>()
    for (const order of orders.slice(0, this.config.get('ORDERS_MAX', { infer: true }))) {
      if (done.has(order.id)) continue
      await sleep(pauseMs, undefined, { signal: this.stop.signal })
      const before = lastOf.get(order.customer) ?? Promise.resolve()
      lastOf.set(
        order.customer,
        before.then(() => this.place(order)),
      )
    }
    await Promise.all(lastOf.values())
    this.logger.log('every order of the file is placed or rejected')
  }

  private async done(): Promise<Set<string>> {
    const rows = await this.knex('orders').select('id').union(this.knex('rejected_orders').select('id'))
    return new Set(rows.map(({ id }) => id))
  }

  /** Until it is decided: an error that says nothing about the order is no reason to lose it. */
  private async place(order: Order): Promise<void> {
    while (!this.stop.signal.aborted) {
      try {
        return await this.orders.place(order)
      } catch (error) {
        const { message } = error as Error
        if (isRepeat(error)) return this.logger.log(`${order.id} is in the file twice`)
        if (isFinal(error)) {
          this.logger.log(`${order.id} rejected: ${message}`)
          await this.knex('rejected_orders').insert({ id: order.id, reason: message }).onConflict('id').ignore()
          return
        }
        this.logger.warn(`${order.id} is tried again: ${message}`)
        await sleep(RETRY_MS, undefined, { signal: this.stop.signal }).catch(() => {})
      }
    }
  }
}

/** It is the order that is wrong: no repeat would help. */
function isFinal(error: unknown): boolean {
  const isUnreadable = error instanceof TandemError && error.code === 'PAYLOAD_INVALID'
  return isUnreadable || isRefusal(error) || error instanceof CreditExceeded
}
