import { afterEach } from 'vitest'
import type { ChildProgram } from './child-program.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** What the tests of a file start: it ends with its test, the youngest first. */
export class Running {
  readonly #endings: (() => unknown)[] = []

  constructor() {
    afterEach(async () => {
      for (const end of this.#endings.splice(0).toReversed()) await end()
    })
  }

  atEnd(end: () => unknown): void {
    this.#endings.push(end)
  }

  /** @returns path of a new one */
  directory(name: string): string {
    const { path, remove } = temporaryDirectory(name)
    this.atEnd(remove)
    return path
  }

  /** Waits until it is ready. */
  async program(program: ChildProgram): Promise<ChildProgram> {
    this.atEnd(() => program.stop('SIGKILL'))
    await program.ready()
    return program
  }

  /** Starts it. */
  async client<T extends { start(): Promise<void>; close(): Promise<void> }>(client: T): Promise<T> {
    this.atEnd(() => client.close())
    await client.start()
    return client
  }
}
