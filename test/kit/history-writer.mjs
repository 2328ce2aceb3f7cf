// The log a client of the crash tests keeps of itself: JSON lines, each handed to the kernel before the call goes on, so
// that it outlives the process. `t` is the kernel's monotonic clock in ns, one for all processes of the machine.
import { openSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'

export class HistoryWriter {
  #file
  #name

  constructor(directory, name) {
    this.#file = openSync(join(directory, `${name}.jsonl`), 'a')
    this.#name = basename(name)
  }

  write(event, fields) {
    const t = Number(process.hrtime.bigint())
    writeSync(this.#file, `${JSON.stringify({ event, t, wall: Date.now(), proc: this.#name, ...fields })}\n`)
  }
}
