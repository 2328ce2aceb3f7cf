// Apache's own operator tool, each command in a process of its own, as an operator runs it.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const COMMAND_MS = 60_000
const MEMBER_MS = 60_000

/** A producer and a consumer that stay connected while the tool looks at them. */
class Member {
  #child
  #ready
  constructor(java, nameServer, topic, group) {
    this.#child = spawn('java', [...java, 'Idle', nameServer, topic, group], { stdio: ['pipe', 'pipe', 'ignore'] })
    this.#ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the consumer was not ready in ${MEMBER_MS} ms`)), MEMBER_MS)
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        if (line !== 'READY') return
        clearTimeout(timer)
        resolve()
      })
      this.#child.once('close', (code) => reject(new Error(`the consumer ended with ${code}`)))
    })
  }

  ready() {
    return this.#ready
  }

  async stop() {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.stdin.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(timer)
  }
}

class Tool {
  #java
  #nameServer
  #folder
  /** @param folder some commands leave files in their working folder */
  constructor(java, nameServer, folder) {
    this.#java = java
    this.#nameServer = nameServer
    this.#folder = folder
  }

  /** @returns what the command printed; it throws when the tool reports an error, whose exit code is 0 all the same */
  run(...args) {
    const env = { ...process.env, NAMESRV_ADDR: this.#nameServer }
    const main = 'org.apache.rocketmq.tools.command.MQAdminStartup'
    const child = spawn('java', [...this.#java, main, ...args], {
      cwd: this.#folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let printed = ''
    child.stdout.on('data', (bytes) => (printed += bytes))
    child.stderr.on('data', (bytes) => (printed += bytes))
    const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS)
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        clearTimeout(timer)
        if (code === 0 && !/Exception|command failed/i.test(printed)) resolve(printed)
        else reject(new Error(`mqadmin ${args.join(' ')} (${code}): ${printed.trim().slice(0, 1500)}`))
      })
    })
  }
}

function expect(printed, ...patterns) {
  for (const pattern of patterns) {
    if (!pattern.test(printed)) throw new Error(`${pattern} is not in: ${printed.trim().slice(0, 1500)}`)
  }
  return printed
}

async function eventually(check, milliseconds = 30_000) {
  const deadline = Date.now() + milliseconds
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}

/** The tool prints the parts of the id, not the id: 4 address bytes, 4 of the port, 8 of the offset. */
function offsetIdOf(printed) {
  const [, address, port] = /Store Host:\s+([\d.]+):(\d+)/.exec(printed)
  const [, offset] = /CommitLog Offset:\s+(\d+)/.exec(printed)
  const bytes = Buffer.alloc(16)
  bytes.set(address.split('.').map(Number))
  bytes.writeUInt32BE(Number(port), 4)
  bytes.writeBigUInt64BE(BigInt(offset), 8)
  return bytes.toString('hex').toUpperCase()
}

/** @param group a consumer group with a connected member; @returns scenario → function */
export function mqadminScenarios({ tool, broker, prefix, group, topic: busyTopic }) {
  const nameServer = broker.address
  const topic = `${prefix}-admin`
  const onTopic = ['-n', nameServer, '-t', topic]
  let offsetId = ''
  let uniqueId = ''
  return {
    clusterList: async () => expect(await tool.run('clusterList', '-n', nameServer), new RegExp(nameServer)),
    clusterListMore: async () => expect(await tool.run('clusterList', '-n', nameServer, '-m'), /#InTotalToday/),
    brokerStatus: async () =>
      expect(await tool.run('brokerStatus', '-n', nameServer, '-b', nameServer), /brokerVersionDesc/, /putTps/),
    updateTopic: async () =>
      expect(
        await tool.run('updateTopic', '-n', nameServer, '-b', nameServer, '-t', topic, '-r', '4', '-w', '4'),
        /success/,
      ),
    updateTopicOnCluster: async () => {
      const cluster = /^(\S+)\s+\S+\s+0\s/m.exec(await tool.run('clusterList', '-n', nameServer))?.[1]
      return expect(await tool.run('updateTopic', '-n', nameServer, '-c', cluster, '-t', `${topic}-2`), /success/)
    },
    topicList: async () => expect(await tool.run('topicList', '-n', nameServer), new RegExp(`^${topic}$`, 'm')),
    topicListOfClusters: async () => expect(await tool.run('topicList', '-n', nameServer, '-c'), new RegExp(topic)),
    topicRoute: async () => expect(await tool.run('topicRoute', ...onTopic), /"writeQueueNums":\s*4/),
    topicClusterList: async () => tool.run('topicClusterList', ...onTopic),
    sendMessage: async () => {
      const printed = await tool.run('sendMessage', ...onTopic, '-p', 'by hand', '-k', 'HandKey', '-c', 'HandTag')
      expect(printed, /SEND_OK/)
      uniqueId = /SEND_OK\s+([0-9A-F]{32,})/.exec(printed)?.[1]
      if (uniqueId === undefined) throw new Error(`no id in: ${printed}`)
    },
    topicStatus: async () => expect(await tool.run('topicStatus', ...onTopic), /^tandemmq\s+[0-3]\s+0\s+1\s/m),
    statsAll: async () =>
      expect(await tool.run('statsAll', '-n', nameServer, '-t', topic), new RegExp(topic.slice(0, 20))),
    queryMsgByKey: () =>
      eventually(async () => {
        const printed = expect(await tool.run('queryMsgByKey', ...onTopic, '-k', 'HandKey'), new RegExp(uniqueId))
        return printed
      }),
    queryMsgByUniqueKey: async () => {
      const printed = expect(await tool.run('queryMsgByUniqueKey', ...onTopic, '-i', uniqueId), /HandTag/)
      offsetId = offsetIdOf(printed)
    },
    queryMsgById: async () =>
      expect(await tool.run('queryMsgById', ...onTopic, '-i', offsetId), /HandKey/, new RegExp(uniqueId)),
    queryMsgByOffset: async () => {
      const attempts = [0, 1, 2, 3].map((queue) =>
        tool.run('queryMsgByOffset', ...onTopic, '-b', 'tandemmq', '-i', String(queue), '-o', '0').catch(() => ''),
      )
      return expect((await Promise.all(attempts)).join('\n'), /HandKey/)
    },
    consumeMessage: async () => expect(await tool.run('consumeMessage', ...onTopic), /by hand|HandKey/),
    printMsg: async () => expect(await tool.run('printMsg', ...onTopic, '-d', 'true'), /by hand/),
    printMsgByQueue: async () =>
      tool.run('printMsgByQueue', ...onTopic, '-a', 'tandemmq', '-i', '0', '-p', 'true', '-d', 'true'),
    queryCq: async () =>
      expect(
        await tool.run('queryCq', '-n', nameServer, '-t', busyTopic, '-q', '0', '-i', '0', '-c', '5'),
        /physicOffset|CqUnit|msg/i,
      ),
    updateSubGroup: async () =>
      expect(
        await tool.run('updateSubGroup', '-n', nameServer, '-b', nameServer, '-g', `${prefix}-made`, '-r', '3'),
        /success/,
      ),
    getConsumerConfig: async () =>
      expect(await tool.run('getConsumerConfig', '-n', nameServer, '-g', `${prefix}-made`), /retryMaxTimes\s*=\s*3/),
    deleteSubGroup: async () =>
      expect(await tool.run('deleteSubGroup', '-n', nameServer, '-b', nameServer, '-g', `${prefix}-made`), /success/),
    consumerProgress: async () =>
      expect(await tool.run('consumerProgress', '-n', nameServer, '-g', group), new RegExp(busyTopic), /Diff Total/),
    consumerProgressAll: async () =>
      expect(await tool.run('consumerProgress', '-n', nameServer), new RegExp(group.slice(0, 30))),
    consumerConnection: async () =>
      expect(await tool.run('consumerConnection', '-n', nameServer, '-g', group), /JAVA/, new RegExp(busyTopic)),
    consumerStatus: async () => expect(await tool.run('consumerStatus', '-n', nameServer, '-g', group), /V5_3_3/),
    producer: async () => expect(await tool.run('producer', '-n', nameServer, '-b', nameServer), /producer group/),
    getBrokerConfig: async () =>
      expect(await tool.run('getBrokerConfig', '-n', nameServer, '-b', nameServer), /brokerName\s*=\s*tandemmq/),
    getNamesrvConfig: async () => tool.run('getNamesrvConfig', '-n', nameServer),
    brokerConsumeStats: async () =>
      expect(await tool.run('brokerConsumeStats', '-n', nameServer, '-b', nameServer), /Diff Total/),
    resetOffsetByTime: async () =>
      expect(
        await tool.run('resetOffsetByTime', '-n', nameServer, '-t', busyTopic, '-g', group, '-s', '-1'),
        /brokerName|tandemmq/,
      ),
    skipAccumulatedMessage: async () =>
      tool.run('skipAccumulatedMessage', '-n', nameServer, '-t', busyTopic, '-g', group),
    cloneGroupOffset: async () => {
      await tool.run('updateSubGroup', '-n', nameServer, '-b', nameServer, '-g', `${prefix}-clone`)
      return tool.run(
        'cloneGroupOffset',
        '-n',
        nameServer,
        '-t',
        busyTopic,
        '-s',
        group,
        '-d',
        `${prefix}-clone`,
        '-o',
        'true',
      )
    },
    updateTopicPerm: async () =>
      expect(await tool.run('updateTopicPerm', ...onTopic, '-b', nameServer, '-p', '4'), /success/),
    updateKvConfig: async () =>
      expect(
        await tool.run('updateKvConfig', '-n', nameServer, '-s', 'interop', '-k', 'key', '-v', 'value'),
        /success/,
      ),
    deleteTopic: async () => {
      const cluster = /^(\S+)\s+\S+\s+0\s/m.exec(await tool.run('clusterList', '-n', nameServer))?.[1]
      expect(await tool.run('deleteTopic', ...onTopic, '-c', cluster), /success/)
      const left = await tool.run('topicList', '-n', nameServer)
      if (new RegExp(`^${topic}$`, 'm').test(left)) throw new Error(`${topic} is still listed`)
    },
  }
}

/** @returns scenario → `ok` or `failed why` */
export async function runMqadmin({ name, java, broker, prefix, scenarios, scratch }) {
  const group = `G-${prefix}-busy`
  const topic = `${prefix}-busy`
  const tool = new Tool(java, broker.address, scratch)
  await tool.run('updateTopic', '-n', broker.address, '-b', broker.address, '-t', topic, '-r', '4', '-w', '4')
  const member = new Member(java, broker.address, topic, group)
  const results = new Map()
  try {
    await member.ready()
    const all = mqadminScenarios({ tool, broker, prefix, group, topic })
    for (const [scenario, run] of Object.entries(all)) {
      if (scenarios.length > 0 && !scenarios.includes(scenario)) continue
      const outcome = await run().then(
        () => 'ok',
        (error) => `failed ${error.message}`,
      )
      results.set(scenario, outcome)
      console.error(`${name} ${scenario}: ${outcome.split(' ')[0]}`)
    }
  } finally {
    await member.stop()
  }
  return results
}
