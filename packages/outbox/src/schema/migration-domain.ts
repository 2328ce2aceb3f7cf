import type { Schema } from './schema.ts'

/** The domain knows its database, so that a copy of it inside the cluster is noticed. */
export function domainHome({ domain }: Schema): string {
  return `
alter table ${domain} add column database_oid oid;
update ${domain} set database_oid = (select oid from pg_catalog.pg_database where datname = current_database());`
}
