import type { World } from './world.ts'

/** What to try while everything is still running. */
export function lookAround({ databaseUrl, nameServer, folder, children }: World): string[] {
  const at = `--name-server ${nameServer}`
  const pids = [...children.values()].map(({ name, pid }) => `${name} ${pid}`)
  return [
    `\nEverything is still running (${pids.join(', ')}). In another terminal:`,
    `  psql '${databaseUrl}'`,
    `  npx tandem topics list --all ${at}`,
    `  npx tandem groups show stock ${at}`,
    `  npx tandem messages query --topic orders --key O-1001 ${at}`,
    `  npx tandem transactions list ${at}`,
    `  npx tandem outbox status --database '${databaseUrl}' ${at}`,
    `  tail -f ${folder}/orders.log`,
    'Ctrl-C stops it all and removes what it left.',
  ]
}
