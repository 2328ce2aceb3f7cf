import { Module } from '@nestjs/common'
import { CancellationLettersListener } from './cancellation-letters.listener.ts'
import { InvoicesListener } from './invoices.listener.ts'

@Module({ providers: [InvoicesListener, CancellationLettersListener] })
export class InvoicesModule {}
