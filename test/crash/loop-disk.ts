import { type ChildProcess, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** @returns why power cuts cannot be made here; undefined when they can */
export function missingForPowerCuts(): string | undefined {
  return missingForLoopDisks('power cuts', ['mkfs.ext4', 'mount', 'xfs_io'])
}

/** @returns why `what` cannot be had here; undefined when it can */
export function missingForLoopDisks(what: string, tools = ['mkfs.ext4', 'mount']): string | undefined {
  if (process.getuid?.() !== 0) return `${what} need root: they mount a file system`
  for (const tool of tools) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) {
      return `${what} need ${tool} (packages e2fsprogs, mount, xfsprogs)`
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'tandemmq-loop-'))
  try {
    const disk = new LoopDisk(folder, 16)
    disk.unmount()
    return undefined
  } catch (error) {
    return `${what} need loop devices: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function sh(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.trim()}`)
}

/** An ext4 file system in a file, whose power can be cut. */
export class LoopDisk {
  readonly image: string
  readonly path: string

  /** @param inodes files and folders it can hold; default as many as mkfs likes */
  constructor(folder: string, mib: number, inodes?: number) {
    this.image = join(folder, 'disk.img')
    this.path = join(folder, 'mnt')
    mkdirSync(this.path, { recursive: true })
    sh('dd', 'if=/dev/zero', `of=${this.image}`, 'bs=1M', `count=${mib}`, 'status=none')
    sh('mkfs.ext4', '-q', '-F', '-m', '0', ...(inodes === undefined ? [] : ['-N', `${inodes}`]), this.image)
    this.mount()
  }

  mount(): void {
    sh('mount', '-o', 'loop', this.image, this.path)
  }

  unmount(): void {
    sh('umount', this.path)
  }

  /** Every thread of the process stands still before the disk goes: else a sync under way would report what is not so. */
  async cut(child: ChildProcess): Promise<number> {
    child.kill('SIGSTOP')
    const tasks = `/proc/${child.pid}/task`
    const runs = (): boolean =>
      readdirSync(tasks).some((task) => !/^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8')))
    while (runs()) await pause(1)
    const at = performance.now()
    sh('xfs_io', '-x', '-c', 'shutdown', this.path)
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await ended
    this.unmount()
    this.mount()
    return at
  }
}
