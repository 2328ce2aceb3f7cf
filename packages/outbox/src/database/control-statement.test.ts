import { expect, test } from 'vitest'
import { controlOf } from './control-statement.ts'

test.each([
  ['begin', 'begin'],
  ['BEGIN;', 'begin'],
  ['BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE;', 'begin'],
  ['START  TRANSACTION', 'begin'],
  ['COMMIT', 'commit'],
  [' \n-- why\n/* traceparent=1 */ commit work ;', 'commit'],
  ['END TRANSACTION', 'commit'],
  ['commit and chain', 'commit'],
  ['rollback', 'rollback'],
  ['ABORT', 'rollback'],
  ['ROLLBACK WORK AND NO CHAIN', 'rollback'],
  ["PREPARE TRANSACTION 'two'", 'prepare'],
  ['commit -- and out', 'commit'],
])('%s is %s', (text, kind) => {
  expect(controlOf(text)).toEqual({ kind })
})

test.each([
  ['SAVEPOINT trx2;', 'savepoint', 'trx2'],
  ['savepoint "Odd ""name"""', 'savepoint', 'Odd "name"'],
  ['savepoint MIXED', 'savepoint', 'mixed'],
  ['RELEASE SAVEPOINT trx2;', 'release', 'trx2'],
  ['release a', 'release', 'a'],
  ['ROLLBACK TO SAVEPOINT trx2', 'rollbackTo', 'trx2'],
  ['rollback work to a;', 'rollbackTo', 'a'],
  ['rollback transaction to savepoint savepoint1', 'rollbackTo', 'savepoint1'],
])('%s is %s of %s', (text, kind, name) => {
  expect(controlOf(text)).toEqual({ kind, name })
})

test.each([
  'insert into orders values (1); commit',
  'commit; begin',
  'begin; insert into orders values (1)',
  "select ';'; rollback",
])('%s is mixed', (text) => {
  expect(controlOf(text)).toEqual({ kind: 'mixed' })
})

test.each([
  'select 1',
  '',
  'beginning',
  'commit prepared $$two$$',
  "rollback prepared 'two'",
  'prepare plan as select 1',
  "insert into notes values ('; commit')",
  "insert into notes values (E'it\\'s; commit')",
  'create function f() returns trigger language plpgsql as $$ begin perform 1; end $$',
  'create function f() returns int begin atomic select 1; end',
  'select 1 -- ; commit',
  'select "; commit" from odd; select 2',
])('%s leaves the transaction as it is', (text) => {
  expect(controlOf(text)).toBeUndefined()
})

test('a long text costs no more than its length', () => {
  for (const text of [
    ' '.repeat(200_000),
    '; '.repeat(100_000),
    `select '${"''".repeat(100_000)}'; x`,
    '-- \n'.repeat(50_000),
  ]) {
    expect(controlOf(text)?.kind ?? 'none').toBe('none')
  }
}, 5_000)
