import type { HistoryEvent } from './history.ts'

type SettingEvent = HistoryEvent & { event: 'put.start' | 'put.ok' | 'put.read' }

/** Settings whose values only grow: what is read must be at least what was acknowledged, and something that was asked for. */
export class SettingsKept {
  readonly #events: SettingEvent[] = []

  take(event: SettingEvent): void {
    this.#events.push(event)
  }

  violations(): { rule: 'SettingsKept'; text: string; ids: string[] }[] {
    const found: { rule: 'SettingsKept'; text: string; ids: string[] }[] = []
    const known = new Map<string, { least: number; asked: Set<number> }>()
    for (const { event, key, value } of this.#events.toSorted((a, b) => a.t - b.t)) {
      const setting = known.get(key) ?? { least: -1, asked: new Set([-1]) }
      known.set(key, setting)
      if (event === 'put.start') setting.asked.add(value)
      else if (event === 'put.ok') setting.least = Math.max(setting.least, value)
      else {
        const isWrong = value < setting.least || !setting.asked.has(value)
        const text = `${key} is ${value}, and was acknowledged as ${setting.least}`
        if (isWrong) found.push({ rule: 'SettingsKept', text, ids: [] })
        setting.least = Math.max(setting.least, value)
      }
    }
    return found
  }
}
