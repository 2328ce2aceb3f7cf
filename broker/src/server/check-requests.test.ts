import {
  type CommandInit,
  decodeCommand,
  encodeCommand,
  type RemotingCommand,
  RequestCode,
  TandemRequestCode,
} from '@tandemmq/protocol'
import { type Connection, type ConnectionOwner, RemotingClient, RemotingServer } from '@tandemmq/remoting'
import { MemoryNetwork } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'
import { message, ScriptLog, testClock } from '../log-test-kit.ts'
import { ProducerDomains, ProducerGroups } from '../queueing/index.ts'
import { TransactionService } from '../transaction/index.ts'
import { CheckRequests } from './check-requests.ts'

type Answer = (asked: { domain: string; transactionIds: string[] }) => Omit<CommandInit, 'opaque' | 'flag'> | undefined

const answers = (text: unknown): ReturnType<Answer> => ({
  code: 0,
  body: Buffer.from(JSON.stringify({ answers: text })),
})

/** A broker's end and a client's end of real connections; the clients announce `db1`. */
async function setUp(...clients: Answer[]) {
  const clock = testClock()
  const network = new MemoryNetwork({ clock })
  const log = new ScriptLog(clock)
  const groups = new ProducerGroups({ clock })
  const domains = new ProducerDomains({ clock, groups })
  const checks = new CheckRequests({ domains, brokerName: 'broker-a' })
  const service = new TransactionService({
    ...{ clock, log },
    ask: (half, record) => checks.ask(half, record),
    peerOf: (half) => checks.peerOf(half),
  })
  domains.isSilent = (id) => service.isSilent(id)
  const accepted: Connection[] = []
  const owner: ConnectionOwner = {
    onRequest(connection, header) {
      accepted.push(connection)
      connection.reply(header, { code: 0 })
    },
    onClosed: (connection) => {
      domains.connectionClosed(connection)
      service.connectionClosed(connection.id)
    },
  }
  const server = new RemotingServer({ clock, network, owner, host: '127.0.0.1', port: 9876 })
  await clock.run(server.start())
  const asked: { client: number; code: number; body: string }[] = []
  for (const [client, answer] of clients.entries()) {
    const remoting = new RemotingClient({
      ...{ clock, network },
      owner: {
        onRequest(connection, header) {
          const command: RemotingCommand = decodeCommand(encodeCommand({ code: header.code, opaque: header.opaque }))
          const text = header.bytes.toString('utf8', header.bodyStart, header.bodyEnd)
          asked.push({ client, code: command.code, body: text })
          if (command.code !== TandemRequestCode.CHECK_TRANSACTIONS) return
          const told = answer(JSON.parse(text))
          if (told !== undefined) connection.reply(header, told)
        },
        onClosed() {},
      },
    })
    const connection = await clock.run(remoting.connection('127.0.0.1:9876'))
    await clock.run(connection.request({ code: RequestCode.HEART_BEAT }, 1_000))
    const own = accepted.at(-1) as Connection
    groups.register('shop', own, `client-${client}`, 13, 441)
    domains.announce(['db1'], own, { clientId: `client-${client}`, language: 13, version: 441 })
  }
  service.start()
  const half = (id: string, sender: number, domain = 'db1'): void => {
    const own = { UNIQ_KEY: id, TRAN_MSG: 'true', PGROUP: 'shop', TANDEM_DOMAIN: domain }
    const { fields, scan } = message('orders', id, own)
    service.appendHalf(fields, scan, 'shop', accepted[sender]?.id ?? -1)
  }
  const due = async (ms = 6_020): Promise<void> => {
    await clock.advance(ms)
    await clock.settle()
    log.flush()
  }
  return { clock, log, service, asked, half, due, accepted }
}

test('a client is asked by domain and transaction ids, and its letters decide', async () => {
  const { half, due, asked, log, service } = await setUp(() => answers('CR'))
  half('m1', 0)
  half('m2', 0)
  await due()
  const { CHECK_TRANSACTIONS: code } = TandemRequestCode
  expect(asked).toEqual([{ client: 0, code, body: '{"domain":"db1","transactionIds":["m1","m2"]}' }])
  expect(log.delivered()).toEqual(['m1'])
  expect(service.stats()).toMatchObject({ committed: 1, rolledBack: 1, pending: 0 })
})

test.each([
  ['code 3', () => ({ code: 3, remark: 'what?' })],
  ['too few letters', () => answers('')],
  ['an unknown letter', () => answers('X')],
  ['no letters', () => answers(7)],
  ['no JSON', () => ({ code: 0, body: Buffer.from('{') })],
  ['a list', () => ({ code: 0, body: Buffer.from('[]') })],
  ['no body', () => ({ code: 0 })],
  ['nothing', () => undefined],
] as [string, Answer][])('%s decides nothing, does not count, and another client is asked', async (_what, nonsense) => {
  const { half, due, asked, log, service } = await setUp(nonsense, () => answers('C'))
  half('m1', 0)
  await due()
  await due(13_000)
  expect(asked.map(({ client }) => client)).toEqual([0, 1])
  expect(log.delivered()).toEqual(['m1'])
  expect(service.stats()).toMatchObject({ checksUnanswered: 1, checksAnswered: 1, committed: 1 })
})

test('about a domain the sender never announced it is asked one by one, as a stock broker would', async () => {
  const { half, due, asked } = await setUp(() => answers('C'))
  half('m1', 0, 'db7')
  await due()
  expect(asked.map(({ code }) => code)).toEqual([RequestCode.CHECK_TRANSACTION_STATE])
})

test('a connection that breaks while its client is asked: the next one is asked in the same moment', async () => {
  const { clock, half, due, asked, log, accepted } = await setUp(
    () => undefined,
    () => answers('C'),
  )
  half('m1', 0)
  await due()
  expect(asked.map(({ client }) => client)).toEqual([0])
  const before = clock.monotonic()
  accepted[0]?.destroy()
  await due(20)
  expect(asked.map(({ client }) => client)).toEqual([0, 1])
  expect(clock.monotonic() - before).toBe(20)
  expect(log.delivered()).toEqual(['m1'])
})
