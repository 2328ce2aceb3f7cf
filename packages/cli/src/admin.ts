import { Admin } from '@tandemmq/client'
import type { Call } from './command.ts'

/** Runs `work` with a started Admin on `--name-server`. */
export async function withAdmin<T>(call: Call, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Admin({ nameServers: call.nameServer })
  try {
    await admin.start()
    return await work(admin)
  } finally {
    await admin.close()
  }
}
