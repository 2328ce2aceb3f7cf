/** For tests of real processes, where time cannot be told to pass. */
export function elapse(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Asks again every 20 ms. @throws {Error} when it is not so within `timeoutMs` */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  timeoutMs: number,
  explain: () => string = () => '',
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not so after ${timeoutMs} ms ${explain()}`)
    await elapse(20)
  }
}
