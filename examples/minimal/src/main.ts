import { EventEmitter, once } from 'node:events'
import { Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { defineTopic, OnMessage, TandemModule, TandemTemplate } from '@tandemmq/nestjs'
import { Outbox } from '@tandemmq/outbox'
import { startTestBroker, startTestDatabase } from '@tandemmq/testing'
import createKnex from 'knex'

// In real life both run elsewhere, and migrate() is `tandem outbox migrate` in a deployment.
const broker = await startTestBroker()
const postgres = await startTestDatabase()
const knex = createKnex({ client: 'pg', connection: postgres.url })
await knex.schema.createTable('orders', (table) => table.string('id').primary())
await new Outbox({ database: knex, nameServers: broker.address, group: 'shop' }).migrate()

const invoices = new EventEmitter()
const orders = defineTopic<{ id: string }>('orders')

@Injectable()
class OrdersService {
  constructor(private readonly tandem: TandemTemplate) {}

  /** The row and its message, or neither. */
  async place(id: string): Promise<void> {
    await this.tandem.transaction(async (trx) => {
      this.tandem.enqueue(orders, { id }, { keys: [id] })
      await trx('orders').insert({ id })
    })
  }
}

@Injectable()
class Billing {
  @OnMessage({ topic: orders, group: 'billing' })
  bill({ id }: { id: string }): void {
    console.log(`invoice for ${id}`)
    invoices.emit('written')
  }
}

@Module({
  imports: [TandemModule.forRoot({ nameServers: broker.address, group: 'shop', outbox: { database: knex } })],
  providers: [OrdersService, Billing],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] })
const service = app.get(OrdersService)
const written = once(invoices, 'written')
await service.place('o-1')
await service.place('o-1').catch((error: Error) => console.log(`refused, and nobody hears of it: ${error.message}`))
await written
await app.close()
await knex.destroy()
await broker.close()
await postgres.close()
