import { runService } from '../shared/run-service.ts'
import { OrdersModule } from './orders.module.ts'

await runService(OrdersModule)
