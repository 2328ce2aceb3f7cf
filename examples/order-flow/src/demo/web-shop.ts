import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service, World } from './world.ts'

const PATIENCE_MS = 10_000

export interface Answer {
  status: number
  body: unknown
}

/** The services' HTTP endpoints, called as curl would. */
export class WebShop {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** Tries again what is answered with 503, for a while: a broker that has just come back, a service that has just started. */
  async call(...request: Parameters<WebShop['once']>): Promise<Answer> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const answer = await this.once(...request)
      if (answer.status !== 503 || performance.now() > deadline) return answer
      await sleep(200, undefined, { signal: this.#world.signal })
    }
  }

  async once(method: string, service: Service, path: string, body?: object, headers = {}): Promise<Answer> {
    const response = await fetch(`${this.#world.url(service)}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([this.#world.signal, AbortSignal.timeout(PATIENCE_MS)]),
    })
    return { status: response.status, body: await response.json() }
  }

  /** @throws {Error} when the answer is not as it should be */
  async expect(status: number, ...call: Parameters<WebShop['call']>): Promise<unknown> {
    const answer = await this.call(...call)
    const said = `${call.slice(0, 3).join(' ')} answered ${answer.status}, not ${status}: ${JSON.stringify(answer.body)}`
    if (answer.status !== status) throw new Error(said)
    return answer.body
  }

  /** @returns 200, 503, or undefined when there is no answer */
  async health(service: Service): Promise<number | undefined> {
    return this.once('GET', service, '/health').then(
      ({ status }) => status,
      () => undefined,
    )
  }
}

/** As a gateway before the shop would begin a trace. */
export function newTrace(): { traceId: string; headers: Record<string, string> } {
  const traceId = randomBytes(16).toString('hex')
  return { traceId, headers: { traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` } }
}
