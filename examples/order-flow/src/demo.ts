import { type Check, collectChecks, isRight, showChecks } from './demo/checks.ts'
import { comeToRest } from './demo/come-to-rest.ts'
import { redriveDeadLetters } from './demo/dead-letters.ts'
import { expectedOutcomes } from './demo/input.ts'
import { lookAround } from './demo/look-around.ts'
import { type DemoOptions, parseOptions, usage } from './demo/options.ts'
import { Scenes } from './demo/scenes.ts'
import { showRequests, showTrace } from './demo/show-trace.ts'
import { Timeline } from './demo/timeline.ts'
import { WebScene, webOutcomes } from './demo/web-scene.ts'
import { World } from './demo/world.ts'

const TAIL_LINES = 15

/** @returns the exit code: 0 when everything is as outcomes.csv says, 1 when not, 130 when the user stopped it */
async function main(options: DemoOptions): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const world = new World(options, stop.signal)
  const timeline = new Timeline(options.plain)
  try {
    const isRightRun = options.stay ? await open(world, timeline) : await play(world, timeline)
    if (options.keep || options.stay) {
      console.log(lookAround(world).join('\n'))
      showRequests(world.traces)
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

/** The whole story. @returns whether every count is right */
async function play(world: World, timeline: Timeline): Promise<boolean> {
  const outcomes = expectedOutcomes(world.options)
  const webScene = new WebScene(world, timeline)
  const scenes = new Scenes(world, timeline, webScene, outcomes)
  await scenes.setUp()
  const cutOff = await scenes.killServices()
  // Another broker may ask only when all orders of the file have come.
  if (world.ownsBroker) await scenes.awaitCheckBack(cutOff)
  const broker = await scenes.takeBrokerAway()
  if (!world.ownsBroker) await scenes.awaitCheckBack(cutOff)
  for (const [id, outcome] of webOutcomes) outcomes.set(id, outcome)
  const web = await webScene.play()
  await comeToRest(world, timeline, outcomes)
  const letters = await redriveDeadLetters(world, timeline)
  const trace = await showTrace(world, timeline, web.traceId)
  const story = { cutOff, ...broker, web, ...letters, trace, healthy: await webScene.healthy() }
  return report(timeline, await collectChecks(world, outcomes, story))
}

function report(timeline: Timeline, checks: readonly Check[]): boolean {
  console.log(`${showChecks(checks).join('\n')}\n`)
  const wrong = checks.filter((check) => !isRight(check) && check.notPromised === undefined)
  console.log(
    wrong.length === 0
      ? `All ${checks.filter(isRight).length} counts are right, after ${timeline.seconds.toFixed(1)} s.`
      : `${wrong.length} of ${checks.length} counts are WRONG.`,
  )
  return wrong.length === 0
}

/** No story: everything runs, and every request over HTTP is shown as a trace. */
async function open(world: World, timeline: Timeline): Promise<boolean> {
  const webScene = new WebScene(world, timeline)
  await new Scenes(world, timeline, webScene, new Map()).setUp()
  await Promise.all([world.startService('orders').ready(), world.startService('orders-2').ready()])
  timeline.say('demo', 'two processes of orders take orders')
  return true
}

let options: DemoOptions | undefined
try {
  options = parseOptions(process.argv.slice(2), process.stdout.isTTY)
} catch (error) {
  console.error(`${(error as Error).message}\n${usage}`)
  process.exitCode = 2
}
if (options !== undefined) process.exitCode = await main(options)
