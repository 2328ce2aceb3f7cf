import { runService } from '../shared/run-service.ts'
import { BillingAppModule } from './billing-app.module.ts'

await runService(BillingAppModule)
