import { ProtocolError } from './errors.ts'

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0xffff]

/**
 * Address and port as records hold them: 4 or 16 address bytes, then 4 port bytes. An IPv4 address written in the IPv6 way
 * (::ffff:1.2.3.4) becomes the 4-byte form.
 * @throws {ProtocolError} FIELD_INVALID when it is no IP address or port
 */
export function hostBytes(address: string, port: number): Buffer {
  const parsed = address.includes(':') ? ipv6(address) : ipv4(address)
  if (parsed === undefined) throw new ProtocolError('FIELD_INVALID', `not an IP address: ${JSON.stringify(address)}`)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new ProtocolError('FIELD_INVALID', `not a port: ${port}`)
  return Buffer.from([...parsed, 0, 0, port >> 8, port & 255])
}

/** 'ip:port' of a host field, an IPv6 address in brackets and unabridged as Java writes it. */
export function hostText(bytes: Buffer, start = 0, end = bytes.length): string {
  const address = addressText(bytes, start, end - 4)
  const port = bytes.readInt32BE(end - 4)
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** Text of 4 or 16 address bytes; an IPv6 address unabridged: `fd00:0:0:0:0:0:0:2`. */
export function addressText(bytes: Buffer, start: number, end: number): string {
  if (end - start === 4) return bytes.subarray(start, end).join('.')
  const texts: string[] = []
  for (let at = start; at + 1 < end; at += 2) texts.push(bytes.readUInt16BE(at).toString(16))
  return texts.join(':')
}

function ipv4(text: string): number[] | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const numbers = parts.map((part) => (/^(0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256))
  return numbers.every((number) => number < 256) ? numbers : undefined
}

function ipv6(text: string): number[] | undefined {
  const withoutZone = text.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '')
  const halves = withoutZone.split('::')
  if (halves.length > 2) return undefined
  const head = groups(halves[0] as string)
  const tail = halves.length === 2 ? groups(halves[1] as string) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const all = [...head, ...Array.from({ length: missing }, () => 0), ...tail]
  const bytes = all.flatMap((group) => [group >> 8, group & 255])
  return MAPPED_PREFIX.every((group, index) => all[index] === group) ? bytes.slice(12) : bytes
}

function groups(text: string): number[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  const last = parts.at(-1) as string
  const numbers: number[] = []
  if (last.includes('.')) {
    parts.pop()
    const four = ipv4(last)
    if (four === undefined) return undefined
    const [a, b, c, d] = four as [number, number, number, number]
    numbers.push((a << 8) | b, (c << 8) | d)
  }
  const plain = parts.map((part) => (/^[0-9a-fA-F]{1,4}$/.test(part) ? Number.parseInt(part, 16) : -1))
  return plain.includes(-1) ? undefined : [...plain, ...numbers]
}
