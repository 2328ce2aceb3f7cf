import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startNameServer } from '@tandemmq/broker'
import { MemoryNetwork, VirtualClock } from '@tandemmq/broker/simulation'
import { expect, test } from 'vitest'
import { requestTable } from '../../broker/src/server/request-table.ts'
import { compatibilityPage, interopPart } from './compatibility-page.ts'
import { type CoveringTest, coveringTests, refusalTest } from './covering-tests.ts'
import { repositoryRoot } from './source-files.ts'

const path = join(repositoryRoot, 'docs/compatibility.md')
const read = (file: string): string => readFileSync(join(repositoryRoot, file), 'utf8')

async function nameServerCodes(): Promise<Set<number>> {
  const clock = new VirtualClock({ seed: 1 })
  const nameServer = await clock.run(startNameServer({ clock, network: new MemoryNetwork({ clock }), port: 9876 }))
  const codes = new Set(nameServer.requestCodes)
  await clock.run(nameServer.close())
  return codes
}

const hasTest = (source: string, name: string): boolean => ["'", '"', '`'].some((q) => source.includes(q + name + q))

/** @returns what is wrong with an entry: no such test, or a test that never asks this code */
function flaws({ file, test: name, via, codes }: CoveringTest): string[] {
  if (!existsSync(join(repositoryRoot, file)) || !hasTest(read(file), name)) return [`${file} has no test '${name}'`]
  const source = read(via ?? file)
  const written = new Set((source.match(/\b\d[\d_]*\b/g) ?? []).map((digits) => Number(digits.replaceAll('_', ''))))
  return codes.flatMap((code) => {
    const number = requestTable.find((row) => row.name === code)?.code ?? -1
    return source.includes(`.${code}`) || written.has(number) ? [] : [`${file} never asks ${code} ${number}`]
  })
}

test('docs/compatibility.md says what the request table says; npm run docs:compatibility writes it', async () => {
  const interop = existsSync(path) ? interopPart(readFileSync(path, 'utf8')) : '\n'
  const coverOf = ({ name, refusal }: (typeof requestTable)[number]): Omit<CoveringTest, 'codes'> => {
    const cover = refusal === undefined ? coveringTests.find(({ codes }) => codes.includes(name)) : refusalTest
    if (cover === undefined) throw new Error(`${name} is served and no test is said to cover it`)
    return cover
  }
  const page = compatibilityPage({ rows: requestTable, nameServerCodes: await nameServerCodes(), coverOf, interop })
  expect(
    [...page.matchAll(/`((?:test|broker)\/[^`]+)`/g)].filter(
      ([, file = '']) => !existsSync(join(repositoryRoot, file)),
    ),
  ).toEqual([])
  await expect(page).toMatchFileSnapshot(path)
})

test('every test the page names exists and asks the code it covers; every served code has one', () => {
  expect([...coveringTests, { ...refusalTest, codes: [] }].flatMap(flaws)).toEqual([])
  const covered = coveringTests.flatMap(({ codes }) => codes).toSorted()
  const served = requestTable.flatMap(({ name, servedBy }) => (servedBy === undefined ? [] : [name]))
  expect(covered).toEqual(served.toSorted())
})

test('a test that is not there, and one that never asks the code, are found', () => {
  const [one] = coveringTests as [CoveringTest]
  expect(flaws({ ...one, test: 'no such test' })).toHaveLength(1)
  expect(flaws({ ...one, codes: ['GET_BROKER_HA_STATUS'] })).toHaveLength(1)
})

test('what another script wrote between the marks is kept', () => {
  const options = {
    rows: [],
    nameServerCodes: new Set<number>(),
    coverOf: () => refusalTest,
    interop: '\n\nall green\n',
  }
  expect(interopPart(compatibilityPage(options))).toBe('\n\nall green\n')
  expect(interopPart('no marks')).toBe('\n')
})
