import { runService } from '../shared/run-service.ts'
import { StockModule } from './stock.module.ts'

await runService(StockModule)
