import { RemotingError } from './remoting-error.ts'

const MAPPED_PREFIX = '::ffff:'

/** An IPv4 address that a dual-stack socket shows as `::ffff:10.0.0.1` is `10.0.0.1` to everyone else. */
export function normalizeHost(host: string): string {
  const lower = host.toLowerCase()
  return lower.startsWith(MAPPED_PREFIX) && lower.includes('.') ? host.slice(MAPPED_PREFIX.length) : host
}

/** `127.0.0.1:9876`, `broker:9876` or `[::1]:9876`. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * The reverse of {@link formatAddress}. An IPv6 address without brackets is taken too when its last part is the port, as
 * Java peers write it (`::1:9876`).
 * @throws {RemotingError} OPTION_INVALID
 */
export function parseAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  const digits = address.slice(colon + 1)
  const port = Number(digits)
  let host = address.slice(0, Math.max(colon, 0)).trim()
  if (host.startsWith('[') && host.endsWith(']')) host = host.slice(1, -1)
  if (host === '' || !/^\d{1,5}$/.test(digits) || port > 65_535) {
    throw new RemotingError('OPTION_INVALID', `"${address}" is not an address like 127.0.0.1:9876`)
  }
  return { host, port }
}
