import type { Schema } from './schema.ts'

/**
 * Version 2: where the domain was last at home, what the relay needs to find rows without reading past those of others, the history of failing messages, and
 * an inbox whose age is its partition. Rows the inbox has seen before stay, in its default partition.
 */
export function second(schema: Schema): string {
  const { domain, outbox, outboxDead, inbox, inboxDefault, inboxGroup, inboxOffset } = schema
  return `
alter table ${domain} add column timeline text;

create index outbox_no_key on ${outbox} (id) where group_key is null;
alter table ${outbox} add column history text[];
alter table ${outboxDead} add column history text[];
create index outbox_dead_group_key on ${outboxDead} (group_key) where group_key is not null;

alter table ${inbox} rename to inbox_default;
alter index ${schema.index('inbox_pkey')} rename to inbox_default_pkey;
create table ${inbox} (
  consumer_group smallint not null,
  message_key uuid not null,
  n int not null,
  primary key (consumer_group, message_key, n)
) partition by range (message_key);
alter table ${inbox} attach partition ${inboxDefault} default;
alter table ${inboxGroup} add column retention_ms bigint;
create index inbox_foreign_at on ${schema.inboxForeign} (at);
create table ${inboxOffset} (
  consumer_group smallint not null,
  topic text not null,
  broker text not null,
  queue_id int not null,
  o bigint not null,
  stored_at bigint not null,
  primary key (consumer_group, topic, broker, queue_id)
) with (fillfactor=50);`
}
