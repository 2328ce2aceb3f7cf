import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { fileURLToPath } from 'node:url'

const ours = ['packages', 'broker/src', 'test/kit', 'test/system', 'test/simulate'].map((folder) =>
  fileURLToPath(new URL(`../../${folder}/`, import.meta.url)),
)

type Functions = Record<string, (...parameters: never[]) => unknown>

const doors: readonly (readonly [owner: unknown, ownerName: string, names: readonly string[]])[] = [
  [globalThis, '', ['setTimeout', 'setInterval', 'setImmediate']],
  [Date, 'Date.', ['now']],
  [Math, 'Math.', ['random']],
  [performance, 'performance.', ['now']],
  [net.Socket.prototype, 'Socket.', ['connect']],
  [net.Server.prototype, 'Server.', ['listen']],
  [fs, 'fs.', ['openSync', 'open', 'mkdirSync', 'fdatasync', 'writeSync', 'readdirSync']],
]

/**
 * From now on real timers, clocks, chance, sockets and files throw when code of this repository uses them; the test
 * runner, which lives in the same process, goes on. (VirtualClock keeps the real loop's setImmediate from before.)
 * @returns `uses`: what was used and where, also when the error was caught on its way; `restore` puts everything back
 */
export function forbidRealWorld(): { uses: string[]; restore(): void } {
  const uses: string[] = []
  const restores: (() => void)[] = []
  for (const [owner, ownerName, names] of doors) {
    const functions = owner as Functions
    for (const name of names) {
      const original = functions[name]
      if (original === undefined) throw new Error(`there is no ${ownerName}${name}`)
      const own = Object.getOwnPropertyDescriptor(functions, name)
      const guarded = function (this: unknown, ...parameters: never[]): unknown {
        const caller = new Error(`the real ${ownerName}${name} was used`)
        // Line 2 is this function, line 3 whoever called it.
        const line = caller.stack?.split('\n')[2] ?? ''
        if (ours.some((folder) => line.includes(folder))) {
          uses.push(`${caller.message} ${line.trim()}`)
          throw caller
        }
        return original.apply(this, parameters)
      }
      Object.defineProperty(functions, name, { value: guarded, configurable: true, writable: true })
      restores.push(() => {
        if (own === undefined) delete functions[name]
        else Object.defineProperty(functions, name, own)
      })
    }
  }
  syncBuiltinESMExports()
  return {
    uses,
    restore() {
      for (const restore of restores) restore()
      syncBuiltinESMExports()
    },
  }
}
