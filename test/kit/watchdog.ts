import { type ChildProcess, spawn } from 'node:child_process'

// Reads "+ pid" and "- pid" lines from a pipe that ends with this process, however it ends (SIGKILL included), and then
// kills what is left.
const SCRIPT = `live=" "
while read -r sign pid; do
  case $sign in
    +) live="$live$pid " ;;
    -) case $live in *" $pid "*) live="\${live%% $pid *} \${live#* $pid }" ;; esac ;;
  esac
done
for pid in $live; do kill -KILL "$pid" 2>/dev/null; done`

let watchdog: ChildProcess | undefined

function tell(line: string): void {
  if (watchdog === undefined) {
    watchdog = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    watchdog.on('error', () => {})
    watchdog.unref()
    watchdog.stdin?.on('error', () => {})
    // A pipe is a socket to Node, and would keep this process alive.
    ;(watchdog.stdin as unknown as { unref(): void }).unref()
  }
  watchdog.stdin?.write(line)
}

/** From now on `child` does not outlive this process. */
export function guard(child: ChildProcess): void {
  const { pid } = child
  if (pid === undefined) return
  tell(`+ ${pid}\n`)
  child.once('exit', () => tell(`- ${pid}\n`))
}
