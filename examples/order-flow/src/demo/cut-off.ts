// Loaded into every process the demo starts: on a message { cutOff: [ports] } its connections to these ports break and new ones are refused,
// as when a network fails; { cutOff: [] } mends it. For a broker that is not ours to kill.
import { Socket } from 'node:net'

const open = new Map<Socket, number>()
let refused = new Set<number>()
const { connect } = Socket.prototype

function portOf([first]: unknown[]): number {
  const options: unknown = Array.isArray(first) ? first[0] : first
  const port = typeof options === 'object' && options !== null && 'port' in options ? options.port : options
  return Number(port)
}

function refuse(socket: Socket): void {
  socket.destroy(Object.assign(new Error('connect ECONNREFUSED: cut off by the demo'), { code: 'ECONNREFUSED' }))
}

Socket.prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
  const port = portOf(args)
  if (refused.has(port)) {
    process.nextTick(() => refuse(this))
    return this
  }
  open.set(this, port)
  this.once('close', () => open.delete(this))
  return Reflect.apply(connect, this, args)
}

process.on('message', (message: { cutOff?: number[] }) => {
  if (message.cutOff === undefined) return
  refused = new Set(message.cutOff)
  for (const [socket, port] of open) if (refused.has(port)) refuse(socket)
})
process.channel?.unref()
