// What the processes of a chaos run share: their log, the way to the broker through a proxy of their own, bodies.
import { createHash } from 'node:crypto'
import { systemNetwork } from '@tandemmq/remoting'
import { HistoryWriter } from '../../kit/history-writer.mjs'

/** Arguments of each program: where the broker is, the proxy to dial instead, folder of the run, member, process, seed. */
const [nameServers, via, directory, member, proc, seed] = process.argv.slice(2)
export const run = { directory, member, proc }
export const history = new HistoryWriter(`${directory}/histories`, proc)

let state = Number(seed) >>> 0
export function random() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 4_294_967_296
}
export const between = (least, most) => least + Math.floor(random() * (most - least + 1))

const addressOf = (text) => {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
}
const [broker, proxy] = [addressOf(nameServers), addressOf(via)]

/** The broker tells its own address; whoever dials it gets the proxy. */
const network = {
  listen: (where, onSocket) => systemNetwork.listen(where, onSocket),
  connect: (where) => systemNetwork.connect(where.port === broker.port ? { ...where, ...proxy } : where),
}
export const connection = { nameServers, network, requestTimeoutMs: 2_000, heartbeatIntervalMs: 2_000 }

/** First line of a body: its id. Second: what handlers are to do with it. */
export function makeBody(id, plan = {}) {
  const filler = 'x'.repeat(Math.floor(800 * random() * random()))
  return Buffer.from(`${id}\n${JSON.stringify(plan)}\n${filler}`)
}
export const idOf = (body) => body.subarray(0, body.indexOf(10)).toString()
export const planOf = (body) => JSON.parse(body.toString().split('\n', 2)[1])
export const hashOf = (body) => createHash('sha256').update(body).digest('base64url').slice(0, 16)
