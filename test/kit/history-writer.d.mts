/** See history-writer.mjs. */
export class HistoryWriter {
  /** @param name of the process; its log is DIRECTORY/NAME.jsonl */
  constructor(directory: string, name: string)
  write(event: string, fields: Readonly<Record<string, unknown>>): void
}
