import { readdirSync, readFileSync } from 'node:fs'

const folder = new URL('./fixtures/', import.meta.url)

/** A frame as it was on the wire, with what the recorder knew about it. */
export interface GoldenFrame {
  file: string
  /** ms since the scenario began. */
  ms: number
  /** Who opened the connection, a number, the server: `client-2:broker`. */
  conn: string
  from: string
  dir: 'request' | 'response' | 'oneway'
  code: number
  opaque: number
  /** In a response: the code it answers. */
  request?: number
  /** The whole frame, length field included. */
  frame: Buffer
  header: Buffer
  body: Buffer
}

type Line = Partial<Record<string, unknown>>

function linesOf(file: string): Line[] {
  const lines = readFileSync(new URL(file, folder), 'utf8').split('\n')
  if (lines.pop() !== '') throw new Error(`${file}: the last line does not end`)
  return lines.map((line) => JSON.parse(line) as Line)
}

function bytesOf(line: Line, name: string): Buffer {
  const text = line[`${name}Text`]
  return typeof text === 'string'
    ? Buffer.from(text, 'utf8')
    : Buffer.from((line[`${name}Hex`] as string | undefined) ?? '', 'hex')
}

/** Names of the frame files, without folder. */
export function goldenFiles(): string[] {
  return readdirSync(new URL('frames/', folder))
    .filter((file) => file.endsWith('.jsonl'))
    .toSorted()
}

/** Every frame of a file, in the order of arrival at the recorder. */
export function goldenFrames(file: string): GoldenFrame[] {
  return linesOf(`frames/${file}`)
    .filter((line) => line['prefix'] !== undefined)
    .map((line) => {
      const header = bytesOf(line, 'header')
      const body = bytesOf(line, 'body')
      const frame = Buffer.concat([Buffer.from(line['prefix'] as string, 'hex'), header, body])
      return { ...(line as unknown as GoldenFrame), file, frame, header, body }
    })
}

/** Every frame of every file. */
export function allGoldenFrames(): GoldenFrame[] {
  return goldenFiles().flatMap(goldenFrames)
}

/** A stored message of the recordings with the fields the Java decoder found in it. */
export interface GoldenRecord {
  record: Buffer
  decoded: {
    physicalOffset: number
    size: number
    magic: string
    topic: string
    queueId: number
    queueOffset: number
    flag: number
    sysFlag: number
    bodyCrc: number
    bornTimestamp: number
    bornHost: string
    storeTimestamp: number
    storeHost: string
    reconsumeTimes: number
    preparedTransactionOffset: number
    properties: Record<string, string>
    offsetMsgId: string
    storedBodyBytes: number
    compressed: boolean
    bodyHex: string
  }
}

export function goldenRecords(): GoldenRecord[] {
  return linesOf('records.jsonl').map((line) => ({
    record: Buffer.from(line['record'] as string, 'hex'),
    decoded: line['decoded'] as GoldenRecord['decoded'],
  }))
}

/** Rows of one kind of `hashes.jsonl`; the caller names their shape. */
export function goldenHashes<Row>(kind: string): Row[] {
  const rows = linesOf('hashes.jsonl').filter((line) => line['kind'] === kind)
  if (rows.length === 0) throw new Error(`no rows of kind ${kind}`)
  return rows as Row[]
}

/** An expression of SQL92 and what the Java classes say of it, one letter per property set: True, False, Unknown, Error. */
export interface SqlVerdict {
  expression: string
  rejected?: true
  verdicts?: string
}

export function goldenSqlVerdicts(): { samples: Record<string, string>[]; verdicts: SqlVerdict[] } {
  const [first, ...verdicts] = linesOf('sql-verdicts.jsonl')
  return { samples: first?.['samples'] as Record<string, string>[], verdicts: verdicts as unknown as SqlVerdict[] }
}
