import { Injectable } from '@nestjs/common'
import type { OnApplicationShutdown } from '@nestjs/common'
import { Admin } from '@tandemmq/client'
import type { TandemConnection } from '../connection/tandem-connection.ts'

/** Asks brokers how far behind groups are; one connection for it per connection of the application, made when first asked. */
@Injectable()
export class GroupLag implements OnApplicationShutdown {
  private readonly admins = new Map<string, Admin>()
  private isClosed = false

  /** Messages before the group, NaN when the broker cannot say. */
  async of(connection: TandemConnection, group: string): Promise<number> {
    if (this.isClosed) return Number.NaN
    try {
      const progress = await (await this.adminOf(connection)).progress(group)
      return progress.reduce(
        (sum, { committedOffset, maxOffset }) => sum + Number(maxOffset - (committedOffset ?? 0n)),
        0,
      )
    } catch {
      return Number.NaN
    }
  }

  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true
    await Promise.all([...this.admins.values()].map((admin) => admin.close()))
  }

  private async adminOf({ name, options }: TandemConnection): Promise<Admin> {
    let admin = this.admins.get(name)
    if (admin === undefined) {
      admin = new Admin({ ...options.client, nameServers: options.nameServers })
      this.admins.set(name, admin)
    }
    await admin.start()
    return admin
  }
}
