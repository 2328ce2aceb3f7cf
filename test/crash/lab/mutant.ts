import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { StartBroker } from './recorded-history.ts'
import type { Disk } from './recorded-disk.ts'

type DiskFile = ReturnType<Disk['open']>

/** Packages a mutant may change. */
export type Mutable = 'broker' | 'client'

/** Text of a built file, and what stands there in the mutant. */
export interface Patch {
  /** Default the broker. */
  readonly of?: Mutable
  /** Below the package's `dist`. */
  readonly file: string
  readonly from: string
  readonly to: string
}

/** A broker, or the clients with it, with one mistake, by a disk that does something else or by another program text. */
export interface Mutant {
  /** What it does wrong. */
  readonly name: string
  readonly patches?: readonly Patch[]
  readonly disk?: (disk: Disk) => Disk
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const dists: Readonly<Record<Mutable, string>> = { broker: 'broker/dist', client: 'packages/client/dist' }
// Below node_modules, so that the copy finds the packages it imports.
const copies = join(root, 'node_modules/.cache/tandemmq/mutants')

/**
 * @returns the broker of this mutant; without patches and disk it is the built one, unchanged
 * @throws when a patch does not match exactly one place
 */
export async function mutantBroker(mutant: Mutant): Promise<StartBroker> {
  const { startBroker } = (await import(pathToFileURL(patchedCopy(mutant)).href)) as { startBroker: StartBroker }
  const { disk } = mutant
  if (disk === undefined) return startBroker
  return (options) => startBroker({ ...options, ...(options.disk && { disk: disk(options.disk) }) })
}

/**
 * @returns file below the package's `dist` -> its text in the mutant
 * @throws when a patch does not match exactly one place
 */
export function patchedFiles({ name, patches = [] }: Mutant, wanted: Mutable = 'broker'): Map<string, string> {
  const files = new Map<string, string>()
  for (const { of = 'broker', file, from, to } of patches) {
    if (of !== wanted) continue
    const path = `${dists[of]}/${file}`
    const text = files.get(file) ?? readFileSync(join(root, path), 'utf8')
    const count = text.split(from).length - 1
    if (count !== 1) throw new Error(`mutant "${name}": ${count} places in ${path} match ${from}`)
    files.set(
      file,
      text.replace(from, () => to),
    )
  }
  return files
}

/**
 * @returns the file to import the mutant's package from
 * @throws when a patch does not match exactly one place
 */
export function patchedCopy(mutant: Mutant, of: Mutable = 'broker'): string {
  const directory = copyOf(mutant.name, of)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  cpSync(join(root, dists[of]), directory, {
    recursive: true,
    filter: (path) => !/\.(d\.ts|map|tsbuildinfo)$/.test(path),
  })
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  for (const [file, text] of patchedFiles(mutant, of)) writeFileSync(join(directory, file), text)
  return join(directory, 'index.js')
}

function copyOf(name: string, of: Mutable): string {
  return join(copies, `${process.pid}-${of}-${name.replaceAll(/\W+/g, '-')}`)
}

/** Removes the copies of this process. */
export function removeMutants(mutants: readonly Mutant[]): void {
  for (const { name } of mutants) {
    for (const of of ['broker', 'client'] as const) rmSync(copyOf(name, of), { recursive: true, force: true })
  }
}

/** `disk` with some of its operations exchanged. */
export function otherDisk(disk: Disk, other: Partial<Disk>): Disk {
  return {
    open: (path, mode) => disk.open(path, mode),
    exists: (path) => disk.exists(path),
    list: (directory) => disk.list(directory),
    makeDirectory: (path) => disk.makeDirectory(path),
    remove: (path) => disk.remove(path),
    discard: (path, done) => disk.discard(path, done),
    rename: (from, to) => disk.rename(from, to),
    syncDirectory: (directory, done) => disk.syncDirectory(directory, done),
    syncDirectoryNow: (directory) => disk.syncDirectoryNow(directory),
    lock: (directory) => disk.lock(directory),
    ...other,
  }
}

/** A disk that does not sync the files `isMeant` names, and says it did. */
export function withoutSync(disk: Disk, isMeant: (path: string) => boolean): Disk {
  return otherDisk(disk, {
    open(path, mode) {
      const file = disk.open(path, mode)
      return isMeant(path) ? unsynced(file) : file
    },
  })
}

function unsynced(file: DiskFile): DiskFile {
  return {
    write: (bytes, start, end, position) => file.write(bytes, start, end, position),
    read: (bytes, start, end, position) => file.read(bytes, start, end, position),
    truncate: (size) => file.truncate(size),
    size: () => file.size(),
    close: () => file.close(),
    sync: (done) => queueMicrotask(() => done(null)),
    syncNow: () => {},
  }
}
