import { ConflictException, Injectable } from '@nestjs/common'
import { TandemTemplate } from '@tandemmq/nestjs'
import type { Order, OrderItem } from '../../shared/order.ts'
import { stockLevels } from '../../shared/topics.ts'
import { OrdersService } from '../orders.service.ts'
import type { CheckoutDto } from './checkout.dto.ts'
import { PriceList } from './price-list.ts'

@Injectable()
export class CheckoutService {
  constructor(
    private readonly orders: OrdersService,
    private readonly prices: PriceList,
    private readonly tandem: TandemTemplate,
  ) {}

  async place(dto: CheckoutDto): Promise<Order> {
    await Promise.all(dto.items.map((item) => this.checkOnHand(item)))
    const order = { ...dto, amount: this.prices.amountOf(dto.items) }
    await this.orders.place(order)
    return order
  }

  /** Asks the stock service and waits for its answer. */
  private async checkOnHand({ sku, quantity }: OrderItem): Promise<void> {
    const { onHand } = await this.tandem.request(stockLevels, { sku })
    if (onHand < quantity) throw new ConflictException(`${onHand} of ${sku} on hand, not ${quantity}`)
  }
}
