/**
 * Points at which the crash tests end, freeze or fail this process (spec: P0..P15 of the half path, G0..G2 of the sweeper).
 * TANDEM_FAILPOINT='P7:kill,P11:throw@3': at P7 SIGKILL, at the third P11 an error. Actions: kill, stop (SIGSTOP), throw.
 */
export interface Failpoints {
  hit(point: string): void
}

interface Armed {
  action: string
  hitsLeft: number
}

type Act = (action: string, point: string) => void

const actions: Record<string, (point: string) => void> = {
  kill: () => void process.kill(process.pid, 'SIGKILL'),
  stop: () => void process.kill(process.pid, 'SIGSTOP'),
  throw: (point) => {
    throw new Error(`failpoint ${point}`)
  },
}

/** @throws {Error} on a text that is not a list of point:action[@n]; a typing error must not look like a passed test */
export function parseFailpoints(text: string, act: Act = (action, point) => actions[action]?.(point)): Failpoints {
  const armed = new Map<string, Armed>()
  for (const part of text.split(',')) {
    const [, point, action, hits] = /^(P\d{1,2}|G[012]):(kill|stop|throw)(?:@([1-9]\d*))?$/.exec(part.trim()) ?? []
    if (point === undefined || action === undefined)
      throw new Error(`TANDEM_FAILPOINT: "${part}" is not point:action[@n]`)
    armed.set(point, { action, hitsLeft: Number(hits ?? 1) })
  }
  return {
    hit(point) {
      const entry = armed.get(point)
      if (entry === undefined || --entry.hitsLeft !== 0) return
      act(entry.action, point)
    },
  }
}

const text = process.env['TANDEM_FAILPOINT']

/** undefined unless the variable is set: `failpoints?.hit('P7')` costs one comparison. */
export const failpoints: Failpoints | undefined = text === undefined || text === '' ? undefined : parseFailpoints(text)
