import { Body, Controller, Get, Param, Put } from '@nestjs/common'
import { type Article, ArticlesService } from './articles.service.ts'
import { type PriceDto, priceSchema } from './price.dto.ts'

@Controller('articles')
export class ArticlesController {
  constructor(private readonly articles: ArticlesService) {}

  @Get(':sku')
  find(@Param('sku') sku: string): Promise<Article> {
    return this.articles.find(sku)
  }

  @Put(':sku/price')
  changePrice(@Param('sku') sku: string, @Body({ schema: priceSchema }) { cents }: PriceDto): Promise<Article> {
    return this.articles.changePrice(sku, cents)
  }
}
