import { Module } from '@nestjs/common'
import { ShipmentsListener } from './shipments.listener.ts'

@Module({ providers: [ShipmentsListener] })
export class ShipmentsModule {}
