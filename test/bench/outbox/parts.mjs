import { checkBacks } from './check-backs.mjs'
import { drain } from './drain.mjs'
import { kill } from './kill.mjs'
import { latency } from './latency.mjs'
import { queues } from './queues.mjs'
import { wal } from './wal.mjs'
import { World } from './world.mjs'

const inWorld = (run) => async (options) => {
  const world = await World.start(options)
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
  wal: inWorld(wal),
  drain: inWorld(drain),
  'check-backs': inWorld(checkBacks),
  kill,
}
