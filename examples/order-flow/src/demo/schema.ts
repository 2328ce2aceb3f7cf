import { Outbox } from '@tandemmq/outbox'
import type { Knex } from 'knex'
import { readCsv } from '../shared/csv.ts'
import { inputFile } from './input.ts'
import type { DemoOptions } from './options.ts'

// One database for all three services keeps the demo small; nobody reads another's tables.
// shipments, invoices, letters and journal have no unique order_id on purpose: a duplicate must be there to be counted.
const tables = `
create table customers (
  id text primary key, name text not null, credit numeric(12,2) not null, booked numeric(12,2) not null default 0
);
create table orders (
  id text primary key,
  customer text not null references customers,
  items jsonb not null,
  amount numeric(10,2) not null check (amount between 0.01 and 999999.99),
  payment text not null,
  status text not null check (status in ('paid', 'unpaid', 'cancelled')),
  placed_at timestamptz not null default now(),
  cancelled_at timestamptz
);
create table rejected_orders (id text primary key, reason text not null);

create table articles (
  sku text primary key, title text not null, on_hand int not null check (on_hand >= 0), cents int check (cents > 0)
);
create table shipments (id serial primary key, order_id text not null, at timestamptz not null default now());

create table invoices (
  id serial primary key, order_id text not null, amount numeric(10,2) not null, at timestamptz not null default now()
);
create table cancellation_letters (id serial primary key, order_id text not null, at timestamptz not null default now());
create table journal (
  id serial primary key, order_id text not null, event text not null, at timestamptz not null default now()
);`

/** The tables of the services, filled with customers and articles, and those of outbox and inbox. */
export async function prepareDatabase(
  knex: Knex,
  nameServers: string,
  options: Pick<DemoOptions, 'input'>,
): Promise<void> {
  await new Outbox({ database: knex, nameServers, group: 'orders' }).migrate()
  await knex.raw(tables)
  await knex('customers').insert(readCsv(inputFile(options, 'customers.csv')))
  const articles = readCsv(inputFile(options, 'articles.csv'))
  await knex('articles').insert(articles.map(({ sku, title, on_hand }) => ({ sku, title, on_hand })))
}
