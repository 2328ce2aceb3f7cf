import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { readCsv } from '../shared/csv.ts'
import { expectedOutcomes, inputFile } from './input.ts'

const ours = { input: undefined }

test('the generator writes the files of the folder byte by byte', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tandemmq-input-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const { status } = spawnSync(process.execPath, [fileURLToPath(inputFile(ours, 'generate.mjs')), folder])
  expect(status).toBe(0)
  for (const name of ['customers.csv', 'articles.csv', 'orders.csv', 'outcomes.csv']) {
    expect(readFileSync(join(folder, name), 'utf8')).toBe(readFileSync(inputFile(ours, name), 'utf8'))
  }
})

test('a quoted field keeps its comma', () => {
  const [order] = readCsv(inputFile(ours, 'orders.csv')).filter(({ amount }) => amount === '12,90')
  expect(order).toMatchObject({ id: 'O-1009', payment: 'card' })
})

test('every kind of outcome is there, also among the first sixty lines', () => {
  for (const orders of [60, 1_000]) {
    const outcomes = new Set(expectedOutcomes({ ...ours, orders }).values())
    expect([...outcomes].toSorted()).toEqual(['cancelled', 'invalid', 'over-credit', 'paid', 'poison'])
  }
})
