import type { Kind } from './bit-flips.ts'
import { otherDisk, type Mutant, withoutSync } from './mutant.ts'

/** Each loses, invents, moves or repeats something after some power cut. */
export const mutants: readonly Mutant[] = [
  {
    name: 'fdatasync of the log is skipped',
    disk: (disk) => withoutSync(disk, (path) => path.includes('/commitlog/')),
  },
  {
    name: 'a message is acknowledged before it is on the disk',
    patches: [
      {
        file: 'store/message-store.js',
        from: `        if (this.#isSync)
            return this.#tail.sync();
        this.#completions`,
        to: `        if (this.#isSync) {
            this.#completions.complete(() => this.#tail.written);
            return this.#tail.sync();
        }
        this.#completions`,
      },
    ],
  },
  {
    name: 'directories are not synced',
    disk: (disk) =>
      otherDisk(disk, { syncDirectory: (_, done) => queueMicrotask(() => done(null)), syncDirectoryNow: () => {} }),
  },
  {
    name: 'a torn record at the end of the log is taken',
    patches: [
      {
        file: 'store/log-reader.js',
        from: 'return crc32Of(this.bytes, this.at, this.at + size) === this.view.getUint32(this.at + size);',
        to: 'return true;',
      },
    ],
  },
  {
    name: 'a torn entry at the end of the journal is taken',
    patches: [
      {
        file: 'store/journal-entry.js',
        from: 'return checksumAt(bytes, at, length) === bytes.readUInt32BE(at + 4) ? ENTRY_HEAD_BYTES + length : 0;',
        to: 'return ENTRY_HEAD_BYTES + length;',
      },
    ],
  },
  {
    name: 'the offsets of a queue without records are used again',
    patches: [{ file: 'store/store-state.js', from: 'this.bases.set(known.topic, offsets);', to: '' }],
  },
  {
    name: 'the newest journal file is forgotten',
    patches: [
      {
        file: 'store/journal-file.js',
        from: 'return Math.max(0, ...disk.list(directory).map(offsetOfName));',
        to: `const found = disk.list(directory).map(offsetOfName).filter((name) => name > 0);
    return found.length === 0 ? 0 : Math.min(...found);`,
      },
    ],
  },
  { name: 'the journal is never synced', disk: (disk) => withoutSync(disk, (path) => path.includes('/journal/')) },
  {
    name: 'the dedup window is not rebuilt from the log',
    patches: [{ file: 'rooms.js', from: 'replayed.dedup.replay(record, bytes);', to: '' }],
  },
  {
    name: 'the dedup window of a checkpoint is forgotten',
    patches: [
      {
        file: 'dedup/key-rings.js',
        from: 'for (let left = reader.number(); left > 0; left--)',
        to: 'for (let left = 0; left > 0; left--)',
      },
    ],
  },
  {
    name: 'the end of a transaction is forgotten',
    patches: [
      {
        file: 'transaction/transaction-service.js',
        from: 'if (half === undefined || settlement === undefined)',
        to: 'if (true)',
      },
    ],
  },
  {
    name: 'a delayed message is forgotten',
    patches: [
      {
        file: 'delay/delay-service.js',
        from: 'if (parked === undefined)\n            return;\n        replayed.set',
        to: 'if (true)\n            return;\n        replayed.set',
      },
    ],
  },
  {
    name: 'a delivered delayed message is delivered again',
    patches: [
      { file: 'delay/delay-service.js', from: 'this.#table.settle(settled, state, record.storeTimestamp);', to: ';' },
    ],
  },
  {
    name: 'a file gets its name before it is synced',
    disk: (disk) => withoutSync(disk, (path) => path.endsWith('.tmp')),
  },
  {
    name: 'a deleted topic is forgotten',
    patches: [{ file: 'store/store-state.js', from: 'this.deletedBefore.set(known.topic,', to: 'void (known.topic,' }],
  },
  {
    name: 'retention removes files before the journal knows',
    patches: [
      {
        file: 'store/retention.js',
        from: '.then(() => this.#removeFiles(due),',
        to: '.then(() => {},',
      },
      {
        file: 'store/retention.js',
        from: 'this.#journal.commit();\n        return { removed, forced };',
        to: 'this.#removeFiles(due);\n        return { removed, forced };',
      },
    ],
  },
  {
    name: 'a marker promises what is not on the disk yet',
    patches: [
      {
        file: 'store/log-tail.js',
        from: 'writeInt64(view, used + EntryAt.markerDurable, this.durable);',
        to: 'writeInt64(view, used + EntryAt.markerDurable, this.position);',
      },
    ],
  },
  {
    name: 'deleted messages come back when a start writes their index file',
    patches: [{ file: 'store/recovered-index.js', from: 'queue.skipTo(queueOffset + 1);', to: '' }],
  },
]

/** Each serves or believes bytes of one kind it should have checked, or keeps to itself what it found. */
export const flipMutants: readonly (Mutant & { kind: Kind })[] = [
  {
    name: 'a record is served whatever its checksum',
    kind: 'log',
    patches: [
      {
        file: 'store/cold-reader.js',
        from: 'if (at >= 0) {',
        to: 'if (at >= 0) {\n            return this.bytes.subarray(at, at + size);',
      },
    ],
  },
  {
    name: 'a page of the index is taken whatever its checksum',
    kind: 'index',
    patches: [{ file: 'store/page-cache.js', from: 'if (!whole)', to: 'if (false)' }],
  },
  {
    name: 'a checkpoint is taken whatever its checksum',
    kind: 'checkpoint',
    patches: [
      {
        file: 'store/checkpoints.js',
        from: 'if (crc32Of(bytes, at + TABLE_HEAD_BYTES, end) !== bytes.readUInt32BE(at + 8))',
        to: 'if (false)',
      },
    ],
  },
  {
    name: 'a damaged journal is cut where the damage begins',
    kind: 'journal',
    patches: [{ file: 'store/journal-recovery.js', from: 'content.damagedUntil > content.end)', to: 'false)' }],
  },
  {
    name: 'a damaged log ends where the damage begins',
    kind: 'log, read as a whole',
    patches: [{ file: 'store/log-scanner.js', from: 'if (this.#durable <= offset)', to: 'if (true)' }],
  },
]
