import { PropertyName, RecordView, decodeProperties, type RemotingCommand } from '@tandemmq/protocol'
import { beforeAll, expect, test } from 'vitest'
import { allowedDifferences, allowedQuestions, propertiesOfCopies } from './allowed-differences.ts'
import { goldenFiles } from './golden.ts'
import { type Exchange, type Played, recordCodes, Replay } from './replay.ts'
import { bodyDifferences, kindOf } from './shape.ts'

// Brokers that check signatures, and brokers talking to name servers, are other programs than ours.
const files = goldenFiles().filter((file) => !/^(broker|auth|acl)-/.test(file))
const played = new Map<string, Played>()

beforeAll(async () => {
  for (const file of files) played.set(file, await Replay.play(file))
}, 60_000)

const exchanges = (): Exchange[] => [...played.values()].flatMap((one) => one.exchanges)

/** Fields, types, body and code of an answer, against the recorded one; remarks of refusals must be there, not be equal. */
function differencesOf({ request, recorded, ours }: Exchange): string[] {
  if (ours === undefined) return [`code ${recorded.code}, ours no answer`]
  if (ours.code !== recorded.code) return [`code ${recorded.code}, ours ${ours.code}`]
  const found: string[] = []
  for (const name of new Set([...Object.keys(recorded.extFields), ...Object.keys(ours.extFields)])) {
    const [theirs, own] = [kindOf(recorded.extFields[name]), kindOf(ours.extFields[name])]
    if (theirs !== own) found.push(`field ${name} ${theirs}, ours ${own}`)
  }
  if (recorded.code !== 0 && !ours.remark) found.push('a refusal without a remark')
  if ((ours.flag & 1) === 0 || ours.serialization !== request.serialization)
    found.push('not an answer in the same serialization')
  if (recorded.body.length > 0 !== ours.body.length > 0)
    found.push(`body of ${recorded.body.length} bytes, ours ${ours.body.length}`)
  else if (!recordCodes.includes(request.code) && /^[{[]/.test(recorded.body.toString())) {
    for (const text of bodyDifferences(recorded.body.toString(), ours.body.toString())) found.push(`body ${text}`)
  }
  return found
}

const isAllowed = (request: number, file: string, text: string): boolean =>
  allowedDifferences.some(
    (one) => one.request === request && one.difference.test(text) && (one.file === undefined || one.file.test(file)),
  )

test('the answers to recorded requests have the code, the fields, the types and the body of the recorded answers', () => {
  expect(exchanges().length).toBeGreaterThan(900)
  const unexpected = exchanges().flatMap((exchange) => {
    const { code } = exchange.request
    const found = differencesOf(exchange).filter((text) => !isAllowed(code, exchange.file, text))
    return found.map((text) => `${exchange.file}: request ${code}: ${text}`)
  })
  expect(unexpected).toEqual([])
})

test('every allowed difference is still there: the table says nothing that is not so', () => {
  const seen = exchanges().flatMap((exchange) =>
    differencesOf(exchange).map((text) => ({ request: exchange.request.code, file: exchange.file, text })),
  )
  const unused = allowedDifferences.filter(
    (one) =>
      !seen.some(
        ({ request, file, text }) =>
          request === one.request && one.difference.test(text) && (one.file?.test(file) ?? true),
      ),
  )
  expect(unused.map(({ request, difference }) => `${request} ${difference}`)).toEqual([])
})

const shapeOf = ({ code, extFields }: RemotingCommand): string =>
  `${code} ${Object.keys(extFields)
    .toSorted()
    .map((name) => `${name}:${kindOf(extFields[name])}`)
    .join(' ')}`

test('what our broker asks of the recorded clients has the fields and types of what the recorded broker asked', () => {
  for (const [file, { asked }] of played) {
    const allowed = allowedQuestions.filter((one) => one.file.test(file))
    const isAllowedQuestion = ({ code, extFields }: RemotingCommand): boolean =>
      allowed.some((one) => one.code === code && (one.field === undefined || one.field in extFields))
    const shapes = (commands: readonly RemotingCommand[]): string[] =>
      [...new Set(commands.filter((command) => !isAllowedQuestion(command)).map(shapeOf))].toSorted()
    expect(shapes(asked.ours), file).toEqual(shapes(asked.recorded))
  }
})

test('stored messages are byte for byte those of the recorded broker but for places, addresses, times and the order of properties', () => {
  const view = new RecordView()
  const originals = [...played.values()]
    .flatMap(({ records }) => records)
    .filter(({ from }) => !from.startsWith('mqadmin-'))
  expect(originals.length).toBeGreaterThan(60)
  let copies = 0
  for (const { recorded, ours, from } of originals) {
    const [theirs, own] = [recorded, ours].map((bytes) => {
      if (!view.at(bytes, 0)) throw new Error(`${from}: no record`)
      const properties = decodeProperties(bytes, view.propertiesStart, view.propertiesEnd)
      const fixed = Buffer.from(bytes.subarray(0, view.propertiesStart - 2))
      // Physical offset; born host and store time and host; the record a copy was made of.
      fixed
        .fill(0, 28, 36)
        .fill(0, view.bornHostStart, view.storeHostEnd)
        .fill(0, view.storeHostEnd + 4, view.storeHostEnd + 12)
      return { properties, fixed: fixed.subarray(4), bytes: view.propertiesEnd - view.propertiesStart }
    })
    if (theirs === undefined || own === undefined) throw new Error('there are two')
    expect(own.fixed.equals(theirs.fixed), from).toBe(true)
    for (const properties of [theirs.properties, own.properties]) {
      // Times of the two brokers, each of 13 digits, and their revive queues, of one.
      for (const name of [PropertyName.POP_CK, PropertyName.FIRST_POP_TIME]) {
        if (name in properties)
          properties[name] = properties[name]!.replace(/\b\d{13}\b(?: (\d+) \d )?/, 'a time, $1, a queue, ')
      }
    }
    const isCopy = propertiesOfCopies.some((name) => name !== 'WAIT' && name in theirs.properties)
    if (!isCopy) {
      expect({ ...own.properties }, from).toEqual({ ...theirs.properties })
      expect(own.bytes, from).toBe(theirs.bytes)
      continue
    }
    copies++
    for (const properties of [theirs.properties, own.properties]) {
      for (const name of propertiesOfCopies) delete properties[name]
      if (PropertyName.ORIGIN_MESSAGE_ID in properties) properties[PropertyName.ORIGIN_MESSAGE_ID] = 'an id'
    }
    expect({ ...own.properties }, from).toEqual({ ...theirs.properties })
  }
  expect(copies).toBeGreaterThan(5)
})
