// One cluster of Apache's broker and ours behind Apache's name server and behind ours, with Apache's client and tool and our SDK.
// Prints one table, scenario by name server; exits 1 when a cell is red. Needs a JDK and Maven: node test/interop/several-servers.mjs
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Producer, PushConsumer } from '@tandemmq/client'
import { parseLenientJson } from '@tandemmq/protocol'
import { apacheRun } from './servers/apache-run.mjs'
import { freePort, ours, until } from './servers/process.mjs'
import { printTable } from './table.mjs'

const CLUSTER = 'DefaultCluster'
const { scratch, apache, keep, stopAll } = apacheRun('several')
const ports = {
  theirs: await freePort(),
  ours: await freePort(),
  apacheBroker: await freePort(),
  ourBroker: await freePort(),
}
const addresses = { theirs: `127.0.0.1:${ports.theirs}`, ours: `127.0.0.1:${ports.ours}` }
const nameServers = [addresses.theirs, addresses.ours]

const startTheirs = () => keep(apache.nameServer(ports.theirs))
async function startOurs() {
  const program = keep(ours('nameserver', '--port', String(ports.ours)))
  await program.line(/ready on/)
  return program
}
const startApacheBroker = () => keep(apache.broker('apache-a', ports.apacheBroker, nameServers))
async function startOurBroker() {
  const settings = [`nameServers=${nameServers.join(';')}`, 'brokerName=tandem-b']
  const args = ['--port', String(ports.ourBroker), '--data-dir', join(scratch, 'tandem-b')]
  const program = keep(ours('up', ...args, ...settings.flatMap((setting) => ['--set', setting])))
  await program.line(/ready on/)
  return program
}

const count = (list, word, broker) => list.filter((line) => line.startsWith(`${word} ${broker} `)).length
const both = ['apache-a', 'tandem-b']

/** Sends through the Java client and waits until all of it came back. @returns brokers that took something */
async function roundTrip(client, prefix, messages = 16) {
  client.write(`SEND ${messages} ${prefix}`)
  const bodies = Array.from({ length: messages }, (_, n) => `${prefix}${n}`)
  const failed = () => client.lines.find((line) => line.startsWith(`FAILED ${prefix}`))
  await until(`${prefix} to come back`, () => {
    if (failed() !== undefined) throw new Error(failed())
    return bodies.every((body) => client.lines.some((line) => line.startsWith('GOT ') && line.endsWith(` ${body}`)))
  })
  return both.filter((name) => client.lines.some((line) => line.startsWith(`SENT ${name} ${prefix}`)))
}

function expect(value, wanted, what) {
  if (JSON.stringify(value) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: ${JSON.stringify(value)}, not ${JSON.stringify(wanted)}`)
  }
}

async function throughOurSdk(nameServer, topic) {
  const seen = []
  const common = { nameServers: nameServer, routeRefreshMs: 1_000 }
  const consumer = new PushConsumer({ ...common, group: `sdk-${topic}`, startFrom: 'last', rebalanceIntervalMs: 1_000 })
  const producer = new Producer({ ...common, group: 'sdk-p' })
  try {
    consumer.subscribe(topic, '*', (message) => void seen.push(`${message.brokerName} ${message.text()}`))
    await Promise.all([consumer.start(), producer.start()])
    await until('the queues of both brokers', () => consumer.stats().queues >= 8)
    for (let n = 0; n < 16; n++) await producer.send({ topic, body: `sdk-${n}` })
    await until('the SDK to get its 16 messages back', () => new Set(seen).size === 16)
    const used = both.filter((name) => seen.some((line) => line.startsWith(name)))
    expect(used, both, 'brokers the SDK used')
  } finally {
    await Promise.all([consumer.close(), producer.close()])
  }
}

/** @param world what is running; @returns scenario → function, to be run in this order */
function scenarios(world, nameServer, topic) {
  const brokersOf = async () => {
    // A name server that is still starting has none.
    const printed = await apache.mqadmin('clusterList', '-n', nameServer).catch(() => '')
    return both.filter((name) => new RegExp(`${CLUSTER}\\s+${name}\\s+0\\s+127\\.0\\.0\\.1:`).test(printed))
  }
  const permOf = async (name) => {
    const printed = await apache.mqadmin('topicRoute', '-n', nameServer, '-t', topic)
    const { queueDatas } = parseLenientJson(printed.slice(printed.indexOf('{'), printed.lastIndexOf('}') + 1))
    return queueDatas.find(({ brokerName }) => brokerName === name)?.perm
  }
  return {
    clusterListShowsBothBrokers: () => until('both brokers', async () => (await brokersOf()).length === 2),
    aTopicIsMadeOnBothBrokers: async () => {
      await apache.mqadmin('updateTopic', '-n', nameServer, '-c', CLUSTER, '-t', topic, '-r', '4', '-w', '4')
      expect([await permOf('apache-a'), await permOf('tandem-b')], [6, 6], 'perm of the topic on both brokers')
    },
    javaClientUsesBothBrokers: async () => {
      world.client = keep(apache.client(nameServer, topic, `G-${topic}`))
      await world.client.line(/^READY/)
      expect(await roundTrip(world.client, `${topic}-first-`), both, 'brokers used')
    },
    ourSdkUsesBothBrokers: () => throughOurSdk(nameServer, topic),
    consumerProgressCoversBothBrokers: async () => {
      const printed = await apache.mqadmin('consumerProgress', '-n', nameServer, '-g', `G-${topic}`)
      expect(
        both.filter((name) => new RegExp(`${topic}\\s+${name}\\s`).test(printed)),
        both,
        printed,
      )
    },
    wipedBrokerGetsNoNewMessages: async () => {
      for (const name of both) {
        await apache.mqadmin('wipeWritePerm', '-n', nameServer, '-b', name)
        expect(await permOf(name), 4, `perm on ${name}`)
        await apache.mqadmin('addWritePerm', '-n', nameServer, '-b', name)
        expect(await permOf(name), 6, `perm on ${name}`)
      }
    },
    ourBrokerGoesAwayAndComesBack: async () => {
      await world.ourBroker.stop()
      expect(await roundTrip(world.client, `${topic}-without-ours-`), ['apache-a'], 'brokers used')
      world.ourBroker = await startOurBroker()
      await until('ours to be used again', async () => {
        return (await roundTrip(world.client, `${topic}-with-${Date.now()}-`)).includes('tandem-b')
      })
    },
    apacheBrokerIsKilledAndComesBack: async () => {
      await world.apacheBroker.stop('SIGKILL')
      expect(await roundTrip(world.client, `${topic}-without-theirs-`), ['tandem-b'], 'brokers used')
      expect(await brokersOf(), ['tandem-b'], 'brokers of the cluster')
      world.apacheBroker = startApacheBroker()
      await until('both brokers', async () => (await brokersOf()).length === 2)
      await until('theirs to be used again', async () => {
        return (await roundTrip(world.client, `${topic}-with-${Date.now()}-`)).includes('apache-a')
      })
    },
    clientsGoOnWithoutNameServers: async () => {
      await Promise.all([world.theirs.stop('SIGKILL'), world.ours.stop('SIGKILL')])
      // Several refreshes of routes without an answer.
      for (let n = 0; n < 3; n++) {
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        expect(await roundTrip(world.client, `${topic}-alone-${n}-`), both, 'brokers used')
      }
      world.theirs = startTheirs()
      world.ours = await startOurs()
      await until('both brokers to register again', async () => (await brokersOf()).length === 2, 60_000)
      expect(await roundTrip(world.client, `${topic}-after-`), both, 'brokers used')
    },
  }
}

const results = new Map()
try {
  const world = { theirs: startTheirs(), ours: await startOurs() }
  world.apacheBroker = startApacheBroker()
  world.ourBroker = await startOurBroker()
  const columns = { 'name server 5.3.3': addresses.theirs, 'tandem nameserver': addresses.ours }
  for (const [column, nameServer] of Object.entries(columns)) {
    const cells = new Map()
    results.set(column, cells)
    const topic = column.startsWith('tandem') ? 'several-ours' : 'several-theirs'
    for (const [scenario, attempt] of Object.entries(scenarios(world, nameServer, topic))) {
      const outcome = await attempt().then(
        () => 'ok',
        (error) => `failed ${error.message}`,
      )
      cells.set(scenario, outcome)
      console.error(`${column} ${scenario}: ${outcome.slice(0, 500)}`)
    }
    const client = world.client
    if (client !== undefined)
      console.error(`${column}: ${both.map((name) => `${count(client.lines, 'GOT', name)} from ${name}`).join(', ')}`)
    await client?.stop()
  }
} finally {
  await stopAll()
}
if (printTable(results) > 0) {
  console.log(`Files of the servers: ${scratch}`)
  process.exitCode = 1
} else {
  rmSync(scratch, { recursive: true, force: true })
}
