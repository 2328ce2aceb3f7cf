const BAR_WIDTH = 24
const PLAIN_STEP = 0.1

/** What the demo shows while it runs: one line per event, and below them a bar that moves. */
export class Timeline {
  readonly #started = performance.now()
  readonly #plain: boolean
  #bar = ''
  #nextStep = PLAIN_STEP

  constructor(plain: boolean) {
    this.#plain = plain
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1_000
  }

  say(who: string, what: string): void {
    this.#write(`${this.seconds.toFixed(1).padStart(5)} s  ${who.padEnd(9)} ${what}`)
  }

  /** Moves the bar; without a terminal every tenth is a line. */
  progress(done: number, all: number, note: string): void {
    const part = Math.min(1, done / all)
    const filled = Math.round(part * BAR_WIDTH)
    const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${done}/${all} orders, ${note}`
    if (this.#plain) {
      if (part < this.#nextStep) return
      this.#nextStep = (Math.floor(part / PLAIN_STEP) + 1) * PLAIN_STEP - 1e-9
      return this.say('progress', bar)
    }
    this.#bar = bar.slice(0, (process.stdout.columns ?? 100) - 1)
    process.stdout.write(`\r\x1b[K${this.#bar}`)
  }

  /** The bar stays where it is; what follows begins below it. */
  endProgress(): void {
    if (this.#bar !== '') process.stdout.write('\n')
    this.#bar = ''
  }

  #write(line: string): void {
    if (this.#bar === '') console.log(line)
    else process.stdout.write(`\r\x1b[K${line}\n${this.#bar}`)
  }
}
