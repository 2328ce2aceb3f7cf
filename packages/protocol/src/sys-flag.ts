/** Bits of a message's sysFlag (MessageSysFlag.java, remoting.md 3.2). */
export const SysFlag = {
  COMPRESSED: 0x001,
  MULTI_TAGS: 0x002,
  TRANSACTION_PREPARED: 0x004,
  TRANSACTION_COMMIT: 0x008,
  TRANSACTION_ROLLBACK: 0x00c,
  TRANSACTION_MASK: 0x00c,
  BORN_HOST_V6: 0x010,
  STORE_HOST_V6: 0x020,
  NEED_UNWRAP: 0x040,
  INNER_BATCH: 0x080,
  COMPRESSION_LZ4: 0x100,
  COMPRESSION_ZSTD: 0x200,
  COMPRESSION_ZLIB: 0x300,
  COMPRESSION_MASK: 0x700,
} as const

/** Bits of a pull request's sysFlag (PullSysFlag.java, remoting.md 2B). */
export const PullSysFlag = {
  COMMIT_OFFSET: 1,
  SUSPEND: 2,
  SUBSCRIPTION: 4,
  CLASS_FILTER: 8,
  LITE_PULL: 16,
} as const
