import { Inject, Injectable, NotFoundException } from '@nestjs/common'
import { TandemTemplate } from '@tandemmq/nestjs'
import type { Knex } from 'knex'
import { KNEX } from '../../shared/database/database.module.ts'
import { prices } from '../../shared/topics.ts'

export interface Article {
  sku: string
  title: string
  on_hand: number
  /** Null: not for sale yet. */
  cents: number | null
}

@Injectable()
export class ArticlesService {
  constructor(
    @Inject(KNEX) private readonly knex: Knex,
    private readonly tandem: TandemTemplate,
  ) {}

  async find(sku: string): Promise<Article> {
    const article = await this.knex<Article>('articles').where({ sku }).first()
    if (article === undefined) throw new NotFoundException(`no article ${sku}`)
    return article
  }

  /** Changes the price and tells every process that has a price list, both or neither. */
  async changePrice(sku: string, cents: number): Promise<Article> {
    return this.tandem.transaction(async (trx) => {
      const [article] = await trx<Article>('articles').where({ sku }).update({ cents }).returning('*')
      if (article === undefined) throw new NotFoundException(`no article ${sku}`)
      this.tandem.enqueue(prices, { sku, cents }, { keys: [sku], orderBy: sku })
      return article
    })
  }
}
