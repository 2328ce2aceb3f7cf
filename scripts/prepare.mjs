// Makes a fresh clone ready: dependencies as the lockfile says, then an incremental build. Both are skipped when current.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`TandemMQ needs Node 20.19 or later, this is ${process.versions.node}.`)
  process.exit(1)
}

function run(command, args) {
  const started = Date.now()
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error) console.error(error.message)
  if (status !== 0) process.exit(status ?? 1)
  return ((Date.now() - started) / 1000).toFixed(1)
}

const installed = `${root}node_modules/.package-lock.json`
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(`${root}package-lock.json`).mtimeMs) {
  console.error('Installing dependencies (npm ci) …')
  console.error(`… installed in ${run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])} s`)
}
run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-b'])
