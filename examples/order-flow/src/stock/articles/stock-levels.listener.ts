import { Inject } from '@nestjs/common'
import { MessageListener } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../../shared/database/database.module.ts'
import { stockLevels } from '../../shared/topics.ts'

/** Answers requests: what it returns is the reply. */
@MessageListener({ topic: stockLevels, group: 'stock-levels' })
export class StockLevelsListener {
  constructor(@Inject(KNEX) private readonly knex: Knex) {}

  async onMessage({ sku }: { sku: string }): Promise<{ onHand: number }> {
    const article = await this.knex('articles').where({ sku }).first<{ on_hand: number }>('on_hand')
    return { onHand: article?.on_hand ?? 0 }
  }
}
