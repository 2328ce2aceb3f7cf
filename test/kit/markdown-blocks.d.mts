export interface Block {
  language: string
  /** Of the opening line: `ts file=src/a.ts` -> `{ file: 'src/a.ts' }`. */
  attributes: Readonly<Record<string, string>>
  text: string
  /** Of the opening line, from 1. */
  line: number
}

/** The fenced code of a page. @throws {Error} for a fence that is not closed */
export function blocksOf(page: string): Block[]
