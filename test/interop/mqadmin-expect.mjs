// What the tool's output is held against.

export function expect(printed, ...patterns) {
  for (const pattern of patterns) {
    if (!pattern.test(printed)) throw new Error(`${pattern} is not in: ${printed.trim().slice(0, 1500)}`)
  }
  return printed
}

export async function eventually(check, milliseconds = 30_000) {
  const deadline = Date.now() + milliseconds
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}

/** The tool prints the parts of the id, not the id: 4 address bytes, 4 of the port, 8 of the offset. */
export function offsetIdOf(printed) {
  const [, address, port] = /Store Host:\s+([\d.]+):(\d+)/.exec(printed)
  const [, offset] = /CommitLog Offset:\s+(\d+)/.exec(printed)
  const bytes = Buffer.alloc(16)
  bytes.set(address.split('.').map(Number))
  bytes.writeUInt32BE(Number(port), 4)
  bytes.writeBigUInt64BE(BigInt(offset), 8)
  return bytes.toString('hex').toUpperCase()
}

/** Messages a {@link Member} sent before the tool looks: two in each of four queues. */
export const SENT = 8
export const CLUSTER = 'DefaultCluster'
export const BROKER = 'tandemmq'
/** One queue after the other. */
export const QUEUES = [0, 1, 2, 3]

/** A line whose columns are these, texts or patterns, and perhaps more behind them. */
export const row = (...columns) =>
  new RegExp(`^\\s*${columns.map((column) => column.source ?? literal(String(column))).join('\\s+')}(\\s|$)`, 'm')
export const literal = (text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
/** A line `name : value` or `name = value`. */
export const setting = (name, value) =>
  new RegExp(`^\\s*${name}\\s*[:=]\\s*${value.source ?? literal(String(value))}\\s*$`, 'm')

export async function refused(run, ...patterns) {
  const why = await run.then(
    (printed) => `succeeded: ${printed}`,
    (error) => error.message,
  )
  return expect(why, /Exception|failed/, ...patterns)
}

/** What the member sent is all consumed and committed. */
export const consumed = (topic, broker) => QUEUES.map((queue) => row(topic, broker, queue, 2, 2, 0))
