import { Module } from '@nestjs/common'
import { JournalController } from './journal.controller.ts'
import { JournalListener } from './journal.listener.ts'

@Module({ controllers: [JournalController], providers: [JournalListener] })
export class JournalModule {}
