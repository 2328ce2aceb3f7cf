export interface Manifest {
  name: string
  version: string
  dependencies?: Record<string, string>
  exports: Record<string, { types: string; default: string }>
  bin?: Record<string, string>
}

export interface Packed {
  name: string
  version: string
  filename: string
  files: { path: string }[]
}

/** Every package somebody may install: folder from the root, and its package.json. */
export function publishedPackages(): { folder: string; manifest: Manifest }[]

/** Packs them all; without a destination only says what would be in them. */
export function pack(destination?: string): Packed[]
