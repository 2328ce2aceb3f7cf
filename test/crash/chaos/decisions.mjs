// The local databases of the chaos producers: one decision per transaction, made once, by whoever comes first.
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export class Decisions {
  #directory
  #proc

  constructor(directory, proc) {
    this.#directory = join(directory, 'decisions')
    this.#proc = proc
    mkdirSync(this.#directory, { recursive: true })
  }

  /** @returns what was decided, which may be the opposite of `wanted` */
  decide(id, wanted) {
    const draft = join(this.#directory, `draft ${this.#proc} ${id}`)
    writeFileSync(draft, wanted)
    try {
      // A link appears whole or not at all, so no process sees half of a decision.
      linkSync(draft, join(this.#directory, id))
      return wanted
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      return this.find(id)
    } finally {
      unlinkSync(draft)
    }
  }

  /** @returns undefined when nobody decided yet */
  find(id) {
    try {
      return readFileSync(join(this.#directory, id), 'utf8')
    } catch (error) {
      if (error.code === 'ENOENT') return undefined
      throw error
    }
  }
}
