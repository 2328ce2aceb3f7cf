import { mkdirSync, readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { ClientError, messageOf } from '../client-error.ts'
import type { MessageQueue } from '../cluster/route.ts'
import { queueKey } from '../cluster/route.ts'
import type { BroadcastOffsetStore } from './offset-store.ts'

const VERSION = 1

/**
 * Keeps the positions of a broadcasting consumer in a folder, one file per group (`GROUP.offsets.json`), replaced as a whole and
 * synced: a crash leaves the old file or the new one. Each member needs a folder of its own that outlives it. Many writes of one
 * moment are one write of the file.
 * @param directory created when absent
 * @throws {ClientError} RECORD_INVALID from `read`, when a file is there and is no file of positions: starting over in silence would
 *   repeat or skip messages
 */
export function fileOffsetStore(directory: string): BroadcastOffsetStore {
  const groups = new Map<string, GroupFile>()
  const fileOf = (group: string): GroupFile => {
    let file = groups.get(group)
    if (file === undefined) groups.set(group, (file = new GroupFile(directory, group)))
    return file
  }
  return {
    read: async (group, queue) => fileOf(group).read(queue),
    write: (group, queue, offset) => fileOf(group).write(queue, offset),
  }
}

class GroupFile {
  readonly #path: string
  readonly #offsets: Map<string, string>
  #writing: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(directory: string, group: string) {
    mkdirSync(directory, { recursive: true })
    // Names of groups may hold %, | and nothing else that a file system dislikes.
    this.#path = join(directory, `${encodeURIComponent(group)}.offsets.json`)
    this.#offsets = load(this.#path)
  }

  read(queue: MessageQueue): bigint | undefined {
    const offset = this.#offsets.get(queueKey(queue))
    return offset === undefined ? undefined : BigInt(offset)
  }

  /** Resolves when a file that holds this is on the disk. */
  write(queue: MessageQueue, offset: bigint): Promise<void> {
    this.#offsets.set(queueKey(queue), offset.toString())
    this.#next ??= (this.#writing ?? Promise.resolve()).catch(() => undefined).then(() => this.#replace())
    return this.#next
  }

  async #replace(): Promise<void> {
    this.#writing = this.#next
    this.#next = undefined
    const text = JSON.stringify({ version: VERSION, offsets: Object.fromEntries(this.#offsets) })
    const file = await open(`${this.#path}.tmp`, 'w')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${this.#path}.tmp`, this.#path)
  }
}

function load(path: string): Map<string, string> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw error
  }
  try {
    const { version, offsets } = JSON.parse(text) as { version: unknown; offsets: Record<string, string> }
    if (version !== VERSION) throw new Error(`version ${String(version)} is not known`)
    for (const offset of Object.values(offsets)) BigInt(offset)
    return new Map(Object.entries(offsets))
  } catch (error) {
    throw new ClientError('RECORD_INVALID', `${path} is no file of positions: ${messageOf(error)}`, { cause: error })
  }
}
