import type { Service, World } from './world.ts'

/** What to try while everything is still running. */
export function lookAround(world: World): string[] {
  const { databaseUrl, nameServer, folder, children } = world
  const at = `--name-server ${nameServer}`
  const pids = [...children.values()].map(({ name, pid }) => `${name} ${pid}`)
  return [
    `\nEverything is running (${pids.join(', ')}). In another terminal:`,
    ...curlCommands(world),
    `  psql '${databaseUrl}'`,
    `  npx tandem topics list --all ${at}`,
    `  npx tandem groups show stock ${at}`,
    `  npx tandem dead-letters list stock ${at}`,
    `  npx tandem messages query --topic orders --key A-1 ${at}`,
    `  npx tandem transactions list ${at}`,
    `  npx tandem outbox status --database '${databaseUrl}' ${at}`,
    `  tail -f ${folder}/orders.log`,
    'Ctrl-C stops it all and removes what it left.',
  ]
}

/** The README shows the same ones. */
function curlCommands(world: World): string[] {
  const at = (service: Service): string => `localhost:${new URL(world.url(service)).port}`
  const json = `-H 'content-type: application/json'`
  const order = (id: string, payment: string): string =>
    `'{"id":"${id}","customer":"C-101","payment":"${payment}","items":[{"sku":"TD-101","quantity":2}]}'`
  return [
    `  curl ${at('orders')}/orders ${json} -d ${order('A-1', 'card')}`,
    `  curl ${at('orders')}/orders ${json} -d ${order('A-2', 'transfer')}   # not paid within ${world.paymentTimeMs / 1_000} s: cancelled`,
    `  curl -X POST ${at('orders')}/orders/A-2/payment`,
    `  curl ${at('orders')}/orders/A-2`,
    `  curl ${at('billing')}/journal/A-2`,
    `  curl -X PUT ${at('stock')}/articles/TD-101/price ${json} -d '{"cents":4490}'`,
    `  curl ${at('orders-2')}/prices`,
    `  curl ${at('orders')}/health`,
  ]
}
