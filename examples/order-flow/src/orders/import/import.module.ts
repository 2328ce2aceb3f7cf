import { Module } from '@nestjs/common'
import { OrdersModule } from '../orders.module.ts'
import { OrderImport } from './order-import.ts'

@Module({ imports: [OrdersModule], providers: [OrderImport] })
export class ImportModule {}
