import { Controller, Get, Inject, Param } from '@nestjs/common'
import type { Knex } from 'knex'
import { KNEX } from '../../shared/database/database.module.ts'

@Controller('journal')
export class JournalController {
  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  /** `["placed", "paid"]` */
  @Get(':orderId')
  events(@Param('orderId') orderId: string): Promise<string[]> {
    return this.knex('journal').where({ order_id: orderId }).orderBy('id').pluck('event')
  }
}
