import type { BrokerOptions } from '@tandemmq/broker'
import { FaultDisk } from '@tandemmq/broker/simulation'

export type Disk = NonNullable<BrokerOptions['disk']>
type DiskFile = ReturnType<Disk['open']>
type Mode = Parameters<Disk['open']>[1]
type Done = (error: Error | null) => void

/** One step of a disk's history. `id` joins what was begun beside the main thread with its end. */
type Step =
  | { kind: 'open'; path: string; mode: Mode; file: number; changes: boolean }
  | { kind: 'write'; file: number; bytes: Buffer; position: number }
  | { kind: 'truncate'; file: number; size: number }
  | { kind: 'syncNow'; file: number }
  | { kind: 'sync'; file: number; id: number }
  | { kind: 'remove' | 'syncDirectoryNow'; path: string }
  | { kind: 'rename'; path: string; to: string }
  | { kind: 'discard' | 'syncDirectory'; path: string; id: number }
  | { kind: 'done'; id: number; changes: boolean }

/** Whether a power cut after this step may leave something else than one before it. */
function changes(step: Step): boolean {
  if (step.kind === 'open' || step.kind === 'done') return step.changes
  return step.kind !== 'sync' && step.kind !== 'syncDirectory'
}

/** A disk that works and remembers every step, so that {@link Replay} can stop after any of them. */
export class RecordedDisk {
  readonly steps: Step[] = []
  readonly disk: Disk
  readonly #inner: FaultDisk
  #files = 0
  #begun = 0

  /** @param soon runs the end of what the disk does beside the main thread */
  constructor(soon: (callback: () => void) => void) {
    this.#inner = new FaultDisk({ seed: 1, soon })
    this.disk = this.#recorded()
  }

  /** The disk as it is now; this one goes on. */
  copy(soon: (callback: () => void) => void): FaultDisk {
    return this.#inner.survivors({ keeps: 'all', soon })
  }

  /** Indexes of the steps after which the power may go with another outcome than before them. */
  crashPoints(): number[] {
    return this.steps.flatMap((step, index) => (changes(step) ? [index] : []))
  }

  /** How often the history met what a crash may interrupt. */
  census(): Record<'segments' | 'segmentsRemoved' | 'indexFiles' | 'checkpoints' | 'journalFiles', number> {
    const named = (folder: string): number =>
      this.steps.filter((step) => step.kind === 'rename' && step.to.includes(folder)).length
    const ofLog = (kind: Step['kind']): number =>
      this.steps.filter((step) => step.kind === kind && 'path' in step && step.path.includes('/commitlog/')).length
    return {
      segments: new Set(
        this.steps.flatMap((step) => (step.kind === 'open' && step.path.includes('/commitlog/') ? [step.path] : [])),
      ).size,
      segmentsRemoved: ofLog('discard') + ofLog('remove'),
      indexFiles: named('/index/'),
      checkpoints: named('/checkpoint/'),
      journalFiles: named('/journal/'),
    }
  }

  #recorded(): Disk {
    const inner = this.#inner
    const note = (step: Step): void => void this.steps.push(step)
    return {
      open: (path, mode) => this.#open(path, mode),
      exists: (path) => inner.exists(path),
      list: (directory) => inner.list(directory),
      makeDirectory: () => {},
      lock: (directory) => inner.lock(directory),
      remove(path) {
        inner.remove(path)
        note({ kind: 'remove', path })
      },
      rename(path, to) {
        inner.rename(path, to)
        note({ kind: 'rename', path, to })
      },
      discard: (path, done) => {
        const id = this.#begun++
        note({ kind: 'discard', path, id })
        inner.discard(path, this.#end(id, done, false))
      },
      syncDirectory: (path, done) => {
        const id = this.#begun++
        note({ kind: 'syncDirectory', path, id })
        inner.syncDirectory(path, this.#end(id, done, true))
      },
      syncDirectoryNow(path) {
        inner.syncDirectoryNow(path)
        note({ kind: 'syncDirectoryNow', path })
      },
    }
  }

  #end(id: number, done: Done, changed: boolean): Done {
    return (error) => {
      this.steps.push({ kind: 'done', id, changes: changed })
      done(error)
    }
  }

  #open(path: string, mode: Mode): DiskFile {
    const before = this.#inner.exists(path)
    const opened = this.#inner.open(path, mode)
    const file = this.#files++
    const { steps } = this
    steps.push({ kind: 'open', path, mode, file, changes: !before })
    return {
      write(bytes, start, end, position) {
        opened.write(bytes, start, end, position)
        steps.push({ kind: 'write', file, bytes: Buffer.from(bytes.subarray(start, end)), position })
      },
      truncate(size) {
        opened.truncate(size)
        steps.push({ kind: 'truncate', file, size })
      },
      syncNow() {
        opened.syncNow()
        steps.push({ kind: 'syncNow', file })
      },
      sync: (done) => {
        const id = this.#begun++
        steps.push({ kind: 'sync', file, id })
        opened.sync(this.#end(id, done, true))
      },
      read: (bytes, start, end, position) => opened.read(bytes, start, end, position),
      size: () => opened.size(),
      close: () => opened.close(),
    }
  }
}

/** The same disk again, one step at a time. */
export class Replay {
  readonly #steps: readonly Step[]
  readonly #files: DiskFile[] = []
  readonly #begun = new Map<number, () => void>()
  #next = 0
  #beginning = 0
  /** As it was after the last step. */
  readonly disk = new FaultDisk({ seed: 1, soon: (end) => void this.#begun.set(this.#beginning, end) })

  constructor(recorded: RecordedDisk) {
    this.#steps = recorded.steps
  }

  /** Goes on until step `index` is done. */
  advanceTo(index: number): void {
    while (this.#next <= index) this.#step(this.#steps[this.#next++] as Step)
  }

  #step(step: Step): void {
    const { disk } = this
    if ('id' in step) this.#beginning = step.id
    switch (step.kind) {
      case 'open':
        this.#files[step.file] = disk.open(step.path, step.mode)
        return
      case 'write':
        return this.#file(step.file).write(step.bytes, 0, step.bytes.length, step.position)
      case 'truncate':
        return this.#file(step.file).truncate(step.size)
      case 'syncNow':
        return this.#file(step.file).syncNow()
      case 'sync':
        return this.#file(step.file).sync(() => {})
      case 'remove':
        return disk.remove(step.path)
      case 'rename':
        return disk.rename(step.path, step.to)
      case 'discard':
        return disk.discard(step.path, () => {})
      case 'syncDirectory':
        return disk.syncDirectory(step.path, () => {})
      case 'syncDirectoryNow':
        return disk.syncDirectoryNow(step.path)
      case 'done':
        return this.#begun.get(step.id)?.()
    }
  }

  #file(number: number): DiskFile {
    return this.#files[number] as DiskFile
  }
}
