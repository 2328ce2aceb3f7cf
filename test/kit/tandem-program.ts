import { ChildProgram } from './child-program.ts'

export interface TandemOptions {
  dataDir: string
  port: number
  /** Broker options by name, as `--set` takes them. */
  set?: Readonly<Record<string, string | number | boolean>>
  env?: Readonly<Record<string, string>>
  openFilesMax?: number
}

/** `tandem up` as a user starts it. `ready()` gives its address. */
export function tandemUp({ dataDir, port, set = {}, ...rest }: TandemOptions): ChildProgram {
  const settings = Object.entries(set).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  return new ChildProgram({
    ...rest,
    file: 'packages/cli/bin/tandem.js',
    args: ['up', '--port', String(port), '--data-dir', dataDir, ...settings],
    readyLine: /^TandemMQ ready on (\S+)\n/m,
  })
}
