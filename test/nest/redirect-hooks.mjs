import { pathToFileURL } from 'node:url'

const parentURL = pathToFileURL(`${process.env.TANDEM_NEST}/package.json`).href

export function resolve(specifier, context, next) {
  const isOurs = specifier.startsWith('@nestjs/') && !context.parentURL?.includes('/@nestjs/')
  return next(specifier, isOurs ? { ...context, parentURL } : context)
}
