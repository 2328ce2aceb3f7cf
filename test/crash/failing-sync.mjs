// Loaded into a broker (`node --import`): from SIGUSR2 on, or from the start with FAILING_SYNC=start, every sync of a file or folder fails with
// EIO, for ever. Each attempt is a line of standard error.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

let isFailing = process.env.FAILING_SYNC === 'start'
process.on('SIGUSR2', () => {
  isFailing = true
  fs.writeSync(2, 'syncs fail now\n')
})

function failure(name) {
  fs.writeSync(2, `failed ${name}\n`)
  return Object.assign(new Error(`EIO: i/o error, ${name}`), { code: 'EIO', syscall: name })
}

for (const name of ['fsync', 'fdatasync']) {
  const whole = fs[name]
  const wholeNow = fs[`${name}Sync`]
  fs[name] = (fd, done) => (isFailing ? setImmediate(() => done(failure(name))) : whole(fd, done))
  fs[`${name}Sync`] = (fd) => {
    if (isFailing) throw failure(name)
    wholeNow(fd)
  }
}
syncBuiltinESMExports()
