import { runService } from '../shared/run-service.ts'
import { StockAppModule } from './stock-app.module.ts'

await runService(StockAppModule)
