import { Module } from '@nestjs/common'
import { ArticlesController } from './articles.controller.ts'
import { ArticlesService } from './articles.service.ts'
import { StockLevelsListener } from './stock-levels.listener.ts'

@Module({
  controllers: [ArticlesController],
  providers: [ArticlesService, StockLevelsListener],
})
export class ArticlesModule {}
