import { second } from './migration-2.ts'
import { domainHome } from './migration-domain.ts'
import { markFunction } from './migration-mark.ts'
import type { Schema } from './schema.ts'

/** Applied in order, each once; a published one is never edited. Version = index + 1. */
export function migrations(schema: Schema): string[] {
  return [first(schema), second(schema), domainHome(schema), markFunction(schema)]
}

function first(schema: Schema): string {
  return `
create table ${schema.domain} (
  one bool primary key default true check (one),
  domain_id uuid not null default gen_random_uuid(),
  system_identifier bigint,
  beat timestamptz
);
insert into ${schema.domain} default values;

create table ${schema.tx} (
  tx_id uuid primary key,
  state "char" not null default 'C' check (state in ('C','F','R')),
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  checks int not null default 0
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0,
        autovacuum_vacuum_insert_threshold=-1);

create table ${schema.outbox} (
  id bigint generated always as identity primary key,
  tx_id uuid not null,
  n int not null,
  topic text not null,
  group_key text,
  deliver_at timestamptz,
  headers bytea,
  body bytea not null,
  lease_until timestamptz,
  attempts smallint not null default 0
) with (fillfactor=80, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0);
create index outbox_group_key on ${schema.outbox} (group_key, id) where group_key is not null;

create table ${schema.outboxDead} (
  id bigint primary key,
  tx_id uuid not null,
  n int not null,
  topic text not null,
  group_key text,
  deliver_at timestamptz,
  headers bytea,
  body bytea not null,
  attempts smallint not null,
  reason text not null,
  at timestamptz not null default clock_timestamp()
);

create table ${schema.inboxGroup} (
  id smallint generated always as identity primary key,
  name text not null unique
);
create table ${schema.inbox} (
  consumer_group smallint not null,
  message_key uuid not null,
  n int not null,
  primary key (consumer_group, message_key, n)
);
create table ${schema.inboxForeign} (
  consumer_group smallint not null,
  message_key text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (consumer_group, message_key)
);`
}
