// `node --import …/redirect.mjs` with TANDEM_NEST=<folder>: imports of Nest come from that folder's node_modules, so that built
// programs run on another Nest than the repository's own.
import { register } from 'node:module'

if (process.env.TANDEM_NEST !== undefined) register('./redirect-hooks.mjs', import.meta.url)
