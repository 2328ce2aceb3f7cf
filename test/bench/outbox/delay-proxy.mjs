// A TCP proxy in a process of its own, so that its timers take nothing from the event loop that is measured. Started with
// fork: `node delay-proxy.mjs PORT DELAY_MS` listens on a free port (message { port }) and passes everything to PORT, later by
// DELAY_MS each way. Any message is answered { requests }: chunks that came from clients so far, one per round trip of a
// client that waits for its answers.
import { connect, createServer } from 'node:net'

const [port, delayMs] = process.argv.slice(2).map(Number)
let requests = 0

function lane(from, to, onChunk) {
  from.on('data', (bytes) => {
    onChunk()
    if (delayMs === 0) to.write(bytes)
    // Timers of the same delay fire in the order in which they were set.
    else setTimeout(() => to.write(bytes), delayMs)
  })
  from.on('error', () => to.destroy())
  from.on('close', () => setTimeout(() => to.destroy(), delayMs))
}

const server = createServer({ noDelay: true }, (client) => {
  const target = connect({ port, host: '127.0.0.1', noDelay: true })
  lane(client, target, () => requests++)
  lane(target, client, () => {})
})
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
process.on('message', () => process.send({ requests }))
process.on('disconnect', () => process.exit(0))
