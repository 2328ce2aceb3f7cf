import { runService } from '../shared/run-service.ts'
import { BillingModule } from './billing.module.ts'

await runService(BillingModule)
