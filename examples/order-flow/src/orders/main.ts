import { runService } from '../shared/run-service.ts'
import { OrdersAppModule } from './orders-app.module.ts'

await runService(OrdersAppModule)
