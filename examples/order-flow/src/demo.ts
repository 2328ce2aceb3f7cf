import { collectChecks, isRight, showChecks } from './demo/checks.ts'
import { readDeadLetters } from './demo/dead-letters.ts'
import { expectedOutcomes } from './demo/input.ts'
import { type DemoOptions, parseOptions, usage } from './demo/options.ts'
import { Scenes } from './demo/scenes.ts'
import { Timeline } from './demo/timeline.ts'
import { lookAround } from './demo/look-around.ts'
import { World } from './demo/world.ts'

const TAIL_LINES = 15

/** @returns the exit code: 0 when everything is as outcomes.csv says, 1 when not, 130 when the user stopped it */
async function main(options: DemoOptions): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const world = new World(options, stop.signal)
  const timeline = new Timeline(options.plain)
  try {
    const isRightRun = await play(world, timeline)
    if (options.keep) {
      console.log(lookAround(world).join('\n'))
      await new Promise((resolve) => {
        if (stop.signal.aborted) resolve(undefined)
        stop.signal.addEventListener('abort', resolve)
      })
    }
    return isRightRun ? 0 : 1
  } catch (error) {
    timeline.endProgress()
    if (stop.signal.aborted) return 130
    console.error(`\nThe demo failed: ${(error as Error).message}`)
    for (const child of world.children.values()) {
      console.error([`\n-- last lines of ${child.name}:`, ...child.tail(TAIL_LINES)].join('\n'))
    }
    return 1
  } finally {
    if (stop.signal.aborted) console.log('stopping …')
    await world.close()
  }
}

async function play(world: World, timeline: Timeline): Promise<boolean> {
  const outcomes = expectedOutcomes(world.options)
  const scenes = new Scenes(world, timeline, outcomes)
  await scenes.setUp()
  const cutOff = await scenes.killServices()
  const withoutBroker = await scenes.killBroker()
  await scenes.letThemFinish()
  for (const { order, reason } of await readDeadLetters(world, 'stock')) {
    timeline.say('stock', `dead letter ${order}: ${reason || '(this broker keeps no reason)'}`)
  }
  const checks = await collectChecks(world, outcomes, { cutOff, withoutBroker })
  console.log(`\n${showChecks(checks).join('\n')}\n`)
  const wrong = checks.filter((check) => !isRight(check))
  console.log(
    wrong.length === 0
      ? `All ${checks.length} counts are right, after ${timeline.seconds.toFixed(1)} s.`
      : `${wrong.length} of ${checks.length} counts are WRONG.`,
  )
  return wrong.length === 0
}

let options: DemoOptions | undefined
try {
  options = parseOptions(process.argv.slice(2), process.stdout.isTTY)
} catch (error) {
  console.error(`${(error as Error).message}\n${usage}`)
  process.exitCode = 2
}
if (options !== undefined) process.exitCode = await main(options)
