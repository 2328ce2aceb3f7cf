// Fenced code of a page: language, attributes of the opening line (`file=src/a.ts background="ready"`), text, line.
export function blocksOf(page) {
  const blocks = []
  let open
  for (const [index, line] of page.split('\n').entries()) {
    const fence = /^```(\S*)(.*)$/.exec(line)
    if (open === undefined) {
      if (fence === null) continue
      const attributes = {}
      for (const [, name, quoted, plain] of fence[2].matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g)) {
        attributes[name] = quoted ?? plain
      }
      open = { language: fence[1], attributes, lines: [], line: index + 1 }
    } else if (line === '```') {
      const { lines, ...block } = open
      blocks.push({ ...block, text: `${lines.join('\n')}\n` })
      open = undefined
    } else open.lines.push(line)
  }
  if (open !== undefined) throw new Error(`the code of line ${open.line} is not closed`)
  return blocks
}
