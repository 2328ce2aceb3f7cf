// Both comparisons: `npm run bench:peers -- [clients|brokers] [options of run.mjs or sdk/run.mjs]`. Without a word first the clients (our SDK
// and broker against nats.js, amqplib and Kafka's producer with theirs), then the brokers (ours against Apache RocketMQ, same frames).
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const programs = { clients: 'sdk/run.mjs', brokers: 'run.mjs' }
const [first, ...rest] = process.argv.slice(2)
const isWord = first !== undefined && first in programs
const args = isWord || first === undefined ? rest : [first, ...rest]
let failed = 0
for (const name of isWord ? [first] : Object.keys(programs)) {
  const program = fileURLToPath(new URL(programs[name], import.meta.url))
  const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit' })
  failed ||= await new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)))
}
process.exit(failed)
