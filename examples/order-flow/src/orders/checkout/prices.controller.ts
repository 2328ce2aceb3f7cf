import { Controller, Get } from '@nestjs/common'
import { PriceList } from './price-list.ts'

@Controller('prices')
export class PricesController {
  constructor(private readonly prices: PriceList) {}

  /** Cents by article, as this process knows them. */
  @Get()
  all(): Record<string, number> {
    return this.prices.all()
  }
}
