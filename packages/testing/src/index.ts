export type { TestDatabase, TestDatabaseOptions } from './database.ts'
export { startTestDatabase } from './database.ts'
