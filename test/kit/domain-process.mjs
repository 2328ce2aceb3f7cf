// A producer in a process of its own that announces a transaction domain, on the built SDK:
//   domain-process.mjs NAME_SERVERS GROUP DOMAIN ANSWER [COUNT]
// DOMAIN `-` announces none. ANSWER to check-backs: `even` commits t-0, t-2, ... and rolls back the others; `unknown`, `notMine`;
// `hang` never answers. COUNT transactions t-0, t-1, ... of two half messages each are stored first and never ended.
// Prints `ready`, then a line `asked ID` or `asked one by one ID` for each ask.
import { TransactionProducer } from '@tandemmq/client'

const [nameServers, group, domain, answer, count = '0'] = process.argv.slice(2)
const decide = (id) => {
  if (answer !== 'even') return answer
  return Number(id.slice(2)) % 2 === 0 ? 'commit' : 'rollback'
}
const properties = domain === '-' ? {} : { TANDEM_DOMAIN: domain }
const producer = new TransactionProducer({
  nameServers,
  group,
  check: async (message) => {
    console.log(`asked one by one ${message.properties['__transactionId__']}`)
    return 'unknown'
  },
})
if (domain !== '-') {
  producer.answerFor(domain, async (transactionIds) => {
    console.log(transactionIds.map((id) => `asked ${id}`).join('\n'))
    return answer === 'hang' ? new Promise(() => {}) : transactionIds.map(decide)
  })
}
await producer.start()
for (let n = 0; n < Number(count); n++) {
  for (const part of ['a', 'b']) {
    await producer.prepare({ topic: 'payments', body: `${n}${part}`, properties }, { transactionId: `t-${n}` })
  }
}
console.log('ready')
