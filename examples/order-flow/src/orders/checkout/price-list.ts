import { ConflictException, Injectable } from '@nestjs/common'
import { OnMessage } from '@tandemmq/nestjs'
import type { OrderItem } from '../../shared/order.ts'
import { prices } from '../../shared/topics.ts'

/**
 * Prices, in the memory of each process: `broadcasting` has every process hear every change. One that starts reads the topic
 * from its beginning, which is why this list needs no table. One at a time: of two changes the later one stays.
 */
@Injectable()
export class PriceList {
  private readonly centsOf = new Map<string, number>()

  @OnMessage({ topic: prices, group: 'orders-prices', mode: 'broadcasting', concurrencyMax: 1, startFrom: 'first' })
  change({ sku, cents }: { sku: string; cents: number }): void {
    this.centsOf.set(sku, cents)
  }

  all(): Record<string, number> {
    return Object.fromEntries(this.centsOf)
  }

  /** Euro, two decimals. */
  amountOf(items: readonly OrderItem[]): string {
    const cents = items.reduce((sum, { sku, quantity }) => sum + quantity * this.priceOf(sku), 0)
    return (cents / 100).toFixed(2)
  }

  private priceOf(sku: string): number {
    const cents = this.centsOf.get(sku)
    if (cents === undefined) throw new ConflictException(`${sku} has no price`)
    return cents
  }
}
