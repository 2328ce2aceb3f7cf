import type { Span } from './trace-tree.ts'
import type { WebStory } from './web-scene.ts'

/** What the scenes saw; the final table asks whether it all arrived. */
export interface Story {
  /** Committed by the process that was killed before it could say so. */
  cutOff: string[]
  /** Committed while there was no broker. */
  withoutBroker: string[]
  /** What the health page of orders said meanwhile. */
  healthWithoutBroker: string[]
  web: WebStory
  /** Orders whose message stock gave up. */
  deadLetters: string[]
  /** They were sent back to stock, which had the article by then. */
  isRedriven: boolean
  /** Spans of the first order over HTTP. */
  trace: Span[]
  /** Services whose health page was green at the end. */
  healthy: string[]
}
