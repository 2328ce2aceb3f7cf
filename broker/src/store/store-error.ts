import { TandemError } from '@tandemmq/protocol'

/** What the store refuses or cannot do. */
export class StoreError extends TandemError {}

/** Codes, of the operating system above all, that mean "no room now": nothing is in doubt, so the store refuses and tries again later. */
const ROOM_CODES = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'DISK_FULL'])

/** True when `error` says the disk (or the file table) is full, as opposed to broken. */
export function isOutOfRoom(error: unknown): boolean {
  return ROOM_CODES.has((error as { code?: string } | null)?.code ?? '')
}

/** True when a file could not even be opened because too many are. */
export function isOutOfHandles(error: unknown): boolean {
  const code = (error as { code?: string } | null)?.code
  return code === 'EMFILE' || code === 'ENFILE'
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
