import { ChildProgram } from './child-program.ts'

export interface TandemOptions {
  dataDir: string
  port: number
  /** Broker options by name, as `--set` takes them. */
  set?: Readonly<Record<string, string | number | boolean>>
}

/** `tandem up` as a user starts it. `ready()` gives its address. */
export function tandemUp({ dataDir, port, set = {} }: TandemOptions): ChildProgram {
  const settings = Object.entries(set).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  return new ChildProgram({
    file: 'packages/cli/bin/tandem.js',
    args: ['up', '--port', String(port), '--data-dir', dataDir, ...settings],
    readyLine: /^TandemMQ ready on (\S+)\n/m,
  })
}
