import { setMaxListeners } from 'node:events'

/**
 * An AbortController for many waits at a time. Node takes the eleventh listener of a signal for a leak and warns; here each
 * wait takes its own away when it is over.
 */
export function sharedController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}
