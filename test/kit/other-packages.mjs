// Runs a program with other packages than those it names: node --import THIS PROGRAM, with OTHER_PACKAGES='{"@tandemmq/broker":"file:///…/index.js"}'
// in its environment. What the others import themselves is found from where they lie.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const others = JSON.parse(process.env.OTHER_PACKAGES ?? '{}')
// The hooks are this file once more, in a thread of their own.
if (isMainThread) register(import.meta.url)

export function resolve(specifier, context, next) {
  const url = others[specifier]
  return url === undefined ? next(specifier, context) : { url, format: 'module', shortCircuit: true }
}
