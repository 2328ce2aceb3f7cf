import { latency } from './latency.mjs'
import { queues } from './queues.mjs'
import { World } from './world.mjs'

const inWorld = (run) => async (options) => {
  const world = await World.start()
  try {
    return await run(world, options)
  } finally {
    await world.stop()
  }
}

/** By name: options in, figures out. */
export const parts = {
  latency: inWorld(latency),
  queues: inWorld(queues),
}
