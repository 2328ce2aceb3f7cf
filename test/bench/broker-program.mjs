// The real program in a process of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const tandem = fileURLToPath(new URL('../../packages/cli/bin/tandem.js', import.meta.url))

/** A broker on any free port, which can be ended and started again on its directory. */
export class BrokerProgram {
  /** host:port, since it started. */
  address
  #directory
  #child

  constructor(directory) {
    this.#directory = directory
  }

  get pid() {
    return this.#child.pid
  }

  /** @param settings as `--set` takes them */
  async start(...settings) {
    const given = settings.flatMap((setting) => ['--set', setting])
    const args = [tandem, 'up', '--port', '0', '--data-dir', this.#directory, ...given]
    this.#child = spawn(process.execPath, args)
    let text = ''
    for await (const chunk of this.#child.stdout) {
      text += chunk
      this.address = /ready on (\S+)\n/.exec(text)?.[1]
      if (this.address === undefined) continue
      this.#child.stdout.resume()
      return
    }
    throw new Error(`the broker did not start: ${text}`)
  }

  async stop(signal = 'SIGTERM') {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exit
  }
}

/** Runs `work` with a broker that is gone afterwards, and its directory with it. */
export async function withBroker(settings, work) {
  const directory = mkdtempSync(join(tmpdir(), 'tandemmq-bench-'))
  const broker = new BrokerProgram(directory)
  try {
    await broker.start(...settings)
    return await work(broker)
  } finally {
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}
