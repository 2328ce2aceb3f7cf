import type { Disk, DiskFile } from './disk.ts'
import { isOutOfRoom, messageOf } from './store-error.ts'

/**
 * Room kept for the words that free room: on a full disk a log file may only go when the journal says so durably, and the
 * journal needs bytes to say it. The file is given up for that, and while it is missing nothing but such words is written.
 */
export class RoomReserve {
  readonly #disk: Disk
  readonly #path: string
  readonly #bytes: number
  readonly #onBroken: (error: Error) => void
  #isWhole = false

  /** Makes the file, durably, unless there is no room. */
  constructor(options: { disk: Disk; path: string; bytes: number; onBroken(error: Error): void }) {
    this.#disk = options.disk
    this.#path = options.path
    this.#bytes = options.bytes
    this.#onBroken = options.onBroken
    this.#fill((file) => file.syncNow())
  }

  get isSpent(): boolean {
    return !this.#isWhole
  }

  /** Gives the room to whoever writes next. */
  spend(): void {
    if (!this.#isWhole) return
    this.#isWhole = false
    this.#disk.remove(this.#path)
  }

  /** @returns false while there is no room for it */
  restore(): boolean {
    if (this.#isWhole) return true
    this.#fill((file) => {
      file.sync((error) => {
        file.close()
        if (error === null) return
        this.#isWhole = false
        if (!isOutOfRoom(error)) this.#onBroken(error)
      })
      return 'open'
    })
    return this.#isWhole
  }

  #fill(sync: (file: DiskFile) => 'open' | void): void {
    let file: DiskFile | undefined
    try {
      file = this.#disk.open(this.#path, 'create')
      file.write(Buffer.alloc(this.#bytes), 0, this.#bytes, 0)
      this.#isWhole = true
      if (sync(file) !== 'open') file.close()
    } catch (error) {
      this.#isWhole = false
      file?.close()
      if (!isOutOfRoom(error)) throw error instanceof Error ? error : new Error(messageOf(error))
      // A part of it would take what room there is from the journal, and not be enough when it counts.
      if (file !== undefined) this.#disk.remove(this.#path)
    }
  }
}
