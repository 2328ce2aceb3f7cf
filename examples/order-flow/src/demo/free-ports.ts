import { createServer, type Server } from 'node:net'

/** Ports of 127.0.0.1 nobody listens on: `first` and those after it where they are free, others where they are not. */
export async function freePorts(count: number, first: number): Promise<number[]> {
  const probes: Server[] = []
  for (let i = 0; i < count; i++) probes.push(await listen(first + i).catch(() => listen(0)))
  const ports = probes.map((probe) => (probe.address() as { port: number }).port)
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
  return ports
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
