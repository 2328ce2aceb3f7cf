import { CalmTimes } from './calm-times.ts'
import type { HistoryEvent } from './history.ts'

interface Question {
  readonly group: string
  readonly askedAt: number
  answers: string | undefined
  failed: { readonly t: number; readonly code: string } | undefined
}

/** Requests: each gets the reply made for it, and in calm times none is left without. */
export class Questions {
  readonly #calm = new CalmTimes()
  readonly #questions = new Map<string, Question>()

  take(event: HistoryEvent): void {
    this.#calm.take(event)
    if (event.event === 'ask.start') {
      const { id, group, t } = event
      this.#questions.set(id, { group, askedAt: t, answers: undefined, failed: undefined })
    } else if (event.event === 'ask.ok' || event.event === 'ask.fail') {
      const question = this.#questions.get(event.id)
      if (question === undefined) return
      if (event.event === 'ask.ok') question.answers = event.answers
      else question.failed = { t: event.t, code: event.code }
    }
  }

  violations(): { rule: 'Reply'; text: string; ids: string[] }[] {
    const found: { rule: 'Reply'; text: string; ids: string[] }[] = []
    for (const [id, { group, askedAt, answers, failed }] of this.#questions) {
      if (answers !== undefined && answers !== id) {
        found.push({ rule: 'Reply', text: `${id} got the reply to ${answers}`, ids: [id, answers] })
      }
      if (failed === undefined || !this.#calm.isCalm(group, askedAt, failed.t)) continue
      found.push({ rule: 'Reply', text: `${id} got no reply from ${group}: ${failed.code}`, ids: [id] })
    }
    return found
  }
}
