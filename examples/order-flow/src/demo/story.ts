import type { Span } from './trace-tree.ts'
import type { WebStory } from './web-scene.ts'

/** What the scenes saw; the final table asks whether it all arrived. */
export interface Story {
  /** Committed by the process that was killed before it could say so. */
  cutOff: string[]
  /** Committed while the broker was dead or out of reach. */
  withoutBroker: string[]
  /** What the health page of orders said meanwhile. */
  healthWithoutBroker: string[]
  web: WebStory
  /** Orders whose message stock gave up; they were sent back to it, and it had the article by then. */
  deadLetters: string[]
  /** Spans of the first order over HTTP. */
  trace: Span[]
  /** Services whose health page was green at the end. */
  healthy: string[]
}
