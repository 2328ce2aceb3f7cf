const WIDTH = 24

/** `[######------------------]`; nothing to do is done. */
export function progressBar(done: number, total: number): string {
  const full = total <= 0 ? WIDTH : Math.min(WIDTH, Math.floor((done / total) * WIDTH))
  return `[${'#'.repeat(full)}${'-'.repeat(WIDTH - full)}]`
}
