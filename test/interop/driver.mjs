// Runs one driver program and collects its lines: `RESULT scenario ok|failed why`, `ASK restart`, `ASK topic NAME`, `DONE`.
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

const DRIVER_MS = 8 * 60_000

/**
 * @param command program and arguments before the address of the name server
 * @returns scenario → `ok` or `failed why`
 */
export async function runDriver({ name, command, cwd, broker, prefix, scenarios, logFile }) {
  const [program, ...args] = command
  const child = spawn(program, [...args, broker.address, prefix, ...scenarios], {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), DRIVER_MS)
  const log = createWriteStream(logFile)
  child.stderr.pipe(log)
  const results = new Map()
  let done = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [word, scenario, ...rest] = line.split(' ')
    if (word === 'RESULT') {
      results.set(scenario, rest.join(' '))
      console.error(`${name} ${scenario}: ${rest[0]}`)
    } else if (word === 'ASK' && scenario === 'restart') {
      broker.restart().then(
        () => child.stdin.write('done\n'),
        (error) => child.kill() && results.set('restart', `failed ${error.message}`),
      )
    } else if (word === 'ASK' && scenario === 'topic') {
      broker.createTopic(rest[0]).then(
        () => child.stdin.write('done\n'),
        (error) => child.kill() && results.set('(topic)', `failed ${error.message}`),
      )
    } else if (word === 'DONE') {
      done = true
    }
  })
  const ended = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(`ended with ${signal ?? code}`))
  })
  clearTimeout(timer)
  if (!done) results.set('(driver)', `failed ${ended}, log: ${logFile}`)
  return results
}
