// Loaded into a broker (`node --import`), makes every sync of a file or folder report success without doing anything.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

fs.fsyncSync = () => {}
fs.fdatasyncSync = () => {}
fs.fsync = (_fd, done) => setImmediate(done, null)
fs.fdatasync = (_fd, done) => setImmediate(done, null)
syncBuiltinESMExports()
