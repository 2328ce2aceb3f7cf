const BACKSLASH = 0x5c

/** Value of a hexadecimal digit of either case, -1 for any other byte. */
const HEX = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/**
 * Writes the UTF-8 bytes a JSON text stands for; the text was checked by the scanner. Never writes more bytes than it reads.
 * A surrogate without its partner becomes U+FFFD, as Node writes such a string in UTF-8.
 * @returns number of bytes written
 */
export function unescapeJson(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
  let from = start
  let to = at
  for (;;) {
    while (from < end && source[from] !== BACKSLASH) target[to++] = source[from++] as number
    if (from >= end) return to - at
    const kind = source[from + 1] as number
    if (kind !== 0x75) {
      target[to++] = shortEscape(kind)
      from += 2
      continue
    }
    let point = hex4(source, from + 2)
    from += 6
    if (point < 0x80) {
      target[to++] = point
      continue
    }
    if (point >= 0xd800 && point <= 0xdfff) {
      const low = point < 0xdc00 ? lowSurrogate(source, from, end) : -1
      if (low < 0) {
        point = 0xfffd
      } else {
        point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff)
        from += 6
      }
    }
    to = writeCodePoint(target, to, point)
  }
}

function shortEscape(kind: number): number {
  switch (kind) {
    case 0x62:
      return 0x08
    case 0x66:
      return 0x0c
    case 0x6e:
      return 0x0a
    case 0x72:
      return 0x0d
    case 0x74:
      return 0x09
    default:
      return kind
  }
}

/** The low surrogate escaped at `at`, or -1. */
function lowSurrogate(source: Buffer, at: number, end: number): number {
  if (at + 6 > end || source[at] !== BACKSLASH || source[at + 1] !== 0x75) return -1
  const unit = hex4(source, at + 2)
  return unit >= 0xdc00 && unit <= 0xdfff ? unit : -1
}

function writeCodePoint(target: Buffer, at: number, point: number): number {
  let to = at
  if (point < 0x800) {
    target[to++] = 0xc0 | (point >> 6)
  } else {
    if (point < 0x10000) {
      target[to++] = 0xe0 | (point >> 12)
    } else {
      target[to++] = 0xf0 | (point >> 18)
      target[to++] = 0x80 | ((point >> 12) & 0x3f)
    }
    target[to++] = 0x80 | ((point >> 6) & 0x3f)
  }
  target[to++] = 0x80 | (point & 0x3f)
  return to
}

/** Length of the escape that begins with the backslash at `at`, 0 when it is none. */
export function escapeLength(bytes: Buffer, at: number, end: number): number {
  if (at + 1 >= end) return 0
  switch (bytes[at + 1]) {
    case 0x75: // u
      return at + 6 <= end && hex4(bytes, at + 2) >= 0 ? 6 : 0
    case 0x22: // "
    case 0x2f: // /
    case 0x5c: // backslash
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return 2
    default:
      return 0
  }
}

/** Value of four hexadecimal digits, negative when one is none. */
function hex4(bytes: Buffer, at: number): number {
  return (
    ((HEX[bytes[at] as number] as number) << 12) |
    ((HEX[bytes[at + 1] as number] as number) << 8) |
    ((HEX[bytes[at + 2] as number] as number) << 4) |
    (HEX[bytes[at + 3] as number] as number)
  )
}
