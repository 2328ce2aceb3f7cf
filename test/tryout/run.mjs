// Follows docs/nestjs.md in an empty folder as a reader would, with the packages as npm would publish them. Everything is
// taken from the page; only the ports are replaced by free ones. `--keep` leaves the folder.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blocksOf } from '../kit/markdown-blocks.mjs'
import { pack, startRegistry } from './packing.mjs'

const COMMAND_MS = 600_000
const READY_MS = 120_000
const page = fileURLToPath(new URL('../../docs/nestjs.md', import.meta.url))
const keep = process.argv.includes('--keep')
const folder = mkdtempSync(join(tmpdir(), 'tandemmq-tryout-'))
const upstream = process.env['npm_config_registry'] ?? 'https://registry.npmjs.org/'
const children = []

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

function start(command, cwd, env) {
  // A group of its own, so that what the shell started ends with it.
  const child = spawn('sh', ['-ec', command], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const run = { child, command, output: '', ended: new Promise((resolve) => child.once('close', resolve)) }
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (chunk) => (run.output += String(chunk)))
  children.push(run)
  return run
}

function stop({ child }, signal = 'SIGTERM') {
  try {
    process.kill(-child.pid, signal)
  } catch {
    // It has ended.
  }
}

async function until(run, text) {
  const deadline = Date.now() + READY_MS
  while (!run.output.includes(text)) {
    if (run.child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`"${run.command.trim()}" never said "${text}":\n${run.output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function foreground(command, cwd, env) {
  const run = start(command, cwd, env)
  const timer = setTimeout(() => stop(run, 'SIGKILL'), COMMAND_MS)
  const code = await run.ended
  clearTimeout(timer)
  if (code !== 0) throw new Error(`"${command.trim()}" ended with ${code}:\n${run.output}`)
  return run.output
}

async function follow(env, ports) {
  let cwd = folder
  let output = ''
  for (const { language, attributes, text } of blocksOf(readFileSync(page, 'utf8'))) {
    const { file, background } = attributes
    if (file !== undefined) {
      mkdirSync(dirname(join(cwd, file)), { recursive: true })
      writeFileSync(join(cwd, file), text)
      console.log(`wrote ${file}`)
    } else if (language === 'sh') {
      const replaced = text
        .replaceAll('127.0.0.1:3000', `127.0.0.1:${ports.http}`)
        .replaceAll(/^(npx tandem up .*)$/gm, `$1 --port ${ports.broker}`)
        .replaceAll(/^(npx tandem (?!up).*)$/gm, `$1 --name-server 127.0.0.1:${ports.broker}`)
      console.log(`$ ${replaced.trim().replaceAll('\n', '\n$ ')}`)
      if (background === undefined) output += await foreground(replaced, cwd, env)
      else await until(start(replaced, cwd, env), background)
      const moved = /^cd (\S+)$/m.exec(text)
      if (moved !== null) cwd = join(cwd, moved[1])
    }
  }
  return output
}

const started = Date.now()
const packed = join(folder, 'packed')
mkdirSync(packed)
const registry = await startRegistry(pack(packed), packed, upstream)
let failed = false
try {
  const ports = { broker: await freePort(), http: await freePort() }
  const env = {
    ...process.env,
    npm_config_registry: registry.url,
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    NAME_SERVERS: `127.0.0.1:${ports.broker}`,
    PORT: String(ports.http),
  }
  const output = await follow(env, ports)
  const app = children.find(({ command }) => command.includes('main.js'))
  await until(app, 'invoice for o-1')
  if (!/2 passed/.test(output)) throw new Error(`the page's tests did not pass:\n${output}`)
  if (!/"id":"o-1"/.test(output)) throw new Error(`the order was not accepted:\n${output}`)
  stop(app)
  const code = await app.ended
  if (code !== 0 && code !== 143 && code !== null) throw new Error(`the application ended with ${code}:\n${app.output}`)
  console.log(`the page works: ${Math.round((Date.now() - started) / 1000)} s`)
} catch (error) {
  failed = true
  console.error(String(error?.stack ?? error))
} finally {
  for (const run of children) stop(run)
  await Promise.all(children.map(({ ended }) => ended))
  registry.close()
  if (keep || failed) console.log(`left in ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)
