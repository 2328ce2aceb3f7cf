import * as fs from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf, StoreError } from './store-error.ts'

// DIR/lock/<boot id>.<pid namespace>.<pid>.<start ticks>.<inode of DIR>, one file per broker that runs or died here. The name
// is the whole content, so a lock is complete the moment it exists, and no two processes ever use the same name.
//
// Taking it: create the own file, then look at the others. Of two brokers that start together, the one that looks last sees
// the other, so never both go on; nobody ever takes over a file, so there is no moment between "it is dead" and "it is mine".
// Files of the dead are ignored, then removed. A copy of the directory has another inode: locks that were copied do not count.

/** A holder in another container cannot be looked up by its pid; it touches its file, and silence this long means death. */
export const FOREIGN_SILENCE_MS = 10_000
const TOUCH_MS = 2_000

interface Owner {
  boot: string
  namespace: string
  pid: number
  started: string
  inode: string
}

/** @throws {StoreError} DIRECTORY_LOCKED, DIRECTORY_NOT_WRITABLE */
export function lockDirectory(directory: string): { release(): void } {
  const locks = join(directory, 'lock')
  const path = createOwn(directory, locks)
  const mine = basename(path)
  try {
    for (const name of fs.readdirSync(locks)) if (name !== mine) refuseLiving(directory, locks, name, ownerOf(mine))
  } catch (error) {
    fs.rmSync(path, { force: true })
    throw error
  }
  const touch = setInterval(() => fs.utimes(path, Date.now() / 1000, Date.now() / 1000, () => {}), TOUCH_MS)
  touch.unref()
  return {
    release() {
      clearInterval(touch)
      fs.rmSync(path, { force: true })
    },
  }
}

function createOwn(directory: string, locks: string): string {
  try {
    fs.mkdirSync(locks, { recursive: true })
    const path = join(locks, nameOf({ ...self(), inode: String(fs.statSync(directory).ino) }))
    // Exclusive, so that a second store of this process (of any of its threads) is refused too.
    fs.closeSync(fs.openSync(path, 'wx'))
    return path
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && (error as NodeJS.ErrnoException).syscall === 'open') {
      throw new StoreError('DIRECTORY_LOCKED', `${directory} is in use by this process`)
    }
    throw new StoreError('DIRECTORY_NOT_WRITABLE', `${directory}: ${messageOf(error)}`, { cause: error })
  }
}

function refuseLiving(directory: string, locks: string, name: string, me: Owner): void {
  const owner = ownerOf(name)
  const path = join(locks, name)
  if (owner.boot === me.boot && owner.inode === me.inode) {
    if (owner.namespace !== me.namespace) {
      const silentMs = Date.now() - (fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
      if (silentMs < FOREIGN_SILENCE_MS) {
        const detail = `${directory} is in use by process ${owner.pid} of another container, or was ${Math.ceil(silentMs / 1000)} s ago`
        throw new StoreError('DIRECTORY_LOCKED', `${detail}: it counts as dead after ${FOREIGN_SILENCE_MS / 1000} s`)
      }
    } else if (startOf(owner.pid) === owner.started) {
      throw new StoreError('DIRECTORY_LOCKED', `${directory} is in use by process ${owner.pid}`)
    }
  }
  fs.rmSync(path, { force: true })
}

function nameOf(owner: Owner): string {
  return [owner.boot, owner.namespace, owner.pid, owner.started, owner.inode].join('.')
}

function ownerOf(name: string): Owner {
  const [boot = '', namespace = '', pid = '', started = '', inode = ''] = name.split('.')
  return { boot, namespace, pid: Number(pid), started, inode }
}

function self(): Omit<Owner, 'inode'> {
  const boot = readOr('/proc/sys/kernel/random/boot_id', 'boot').trim()
  return { boot, namespace: namespaceOf(), pid: process.pid, started: startOf(process.pid) ?? '0' }
}

function namespaceOf(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
  } catch {
    return '0'
  }
}

/** Start of a living process in ticks since boot (proc(5), stat field 22), '0' where /proc is absent; undefined when it is dead. */
function startOf(pid: number): string | undefined {
  const stat = readOr(`/proc/${pid}/stat`, '')
  // The second field is the program's name in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (stat !== '') return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  if (fs.existsSync('/proc/self/stat')) return undefined
  try {
    process.kill(pid, 0)
    return '0'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '0' : undefined
  }
}

function readOr(path: string, fallback: string): string {
  try {
    return fs.readFileSync(path, 'latin1')
  } catch {
    return fallback
  }
}
