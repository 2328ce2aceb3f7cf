// One table, scenarios down, clients across. `·` = the client has no such thing.

/** @returns how many cells are red */
export function printTable(results) {
  const clients = [...results.keys()]
  const scenarios = [...new Set([...results.values()].flatMap((cells) => [...cells.keys()]))]
  const rows = scenarios.map((scenario) => [
    scenario,
    ...clients.map((client) => {
      const outcome = results.get(client).get(scenario)
      if (outcome === undefined) return '·'
      return outcome === 'ok' ? 'green' : 'RED'
    }),
  ])
  const lines = [['scenario', ...clients], ...rows]
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
  const red = [...results].flatMap(([client, cells]) =>
    [...cells].filter(([, outcome]) => outcome !== 'ok').map(([scenario, outcome]) => [client, scenario, outcome]),
  )
  for (const [client, scenario, outcome] of red) console.log(`\n${client} ${scenario}: ${outcome}`)
  console.log(red.length === 0 ? '\nAll green.' : `\n${red.length} red.`)
  return red.length
}
