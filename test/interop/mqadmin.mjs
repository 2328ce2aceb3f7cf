// Apache's own operator tool on our broker: what it prints must be what is so.
import {
  BROKER,
  CLUSTER,
  QUEUES,
  SENT,
  consumed,
  eventually,
  expect,
  literal,
  offsetIdOf,
  refused,
  row,
  setting,
} from './mqadmin-expect.mjs'
import { Member, Tool } from './mqadmin-tool.mjs'

function clusterScenarios({ tool, nameServer, topic, onTopic, onBroker }) {
  return {
    clusterList: async () =>
      expect(
        await tool.run('clusterList', '-n', nameServer),
        row(CLUSTER, BROKER, 0, nameServer, 'TandemMQ', /\d+\.\d\d\(0,0ms\)/, /\d+\.\d\d\(0,0ms\|0,0ms\)/),
      ),
    clusterListMore: async () =>
      expect(await tool.run('clusterList', '-n', nameServer, '-m'), row(CLUSTER, BROKER, 0, 0, /[1-9]\d*/, /[1-9]\d*/)),
    brokerStatus: async () => {
      const printed = await tool.run('brokerStatus', ...onBroker)
      expect(printed, setting('brokerActive', true), setting('putTps', /[\d.]+ [\d.]+ [\d.]*[1-9][\d.]*/))
      expect(
        printed,
        setting('getTransferredTps', /[\d.]+ [\d.]+ [\d.]+/),
        setting('runtime', /\[ 0 days, .* seconds \]/),
      )
      const figure = (name) => Number(new RegExp(`^${name}\\s*: ([\\d.]+)\\s*$`, 'm').exec(printed)?.[1])
      const [put, got] = [figure('msgPutTotalTodayNow'), figure('msgGetTotalTodayNow')]
      if (!(put >= SENT && got >= SENT)) throw new Error(`${put} put and ${got} got are too few: ${printed}`)
      const age = Date.now() - figure('earliestMessageTimeStamp')
      if (!(age >= 0 && age < 3_600_000)) throw new Error(`the earliest message is ${age} ms old: ${printed}`)
      if (!(figure('commitLogDiskRatio') > 0 && figure('commitLogDiskRatio') < 1))
        throw new Error(`no ratio: ${printed}`)
    },
    updateTopic: async () => {
      const printed = await tool.run('updateTopic', ...onBroker, '-t', topic, '-r', '4', '-w', '4')
      const config = `topicName=${topic}, readQueueNums=4, writeQueueNums=4, perm=RW-`
      return expect(printed, new RegExp(`create topic to ${literal(nameServer)} success`), new RegExp(literal(config)))
    },
    updateTopicOnCluster: async () => {
      const printed = await tool.run('updateTopic', '-n', nameServer, '-c', CLUSTER, '-t', `${topic}-2`)
      return expect(printed, /success/, new RegExp(`topicName=${literal(topic)}-2, readQueueNums=8`))
    },
    topicList: async () => expect(await tool.run('topicList', '-n', nameServer), row(topic), row(`${topic}-2`)),
    topicListOfClusters: async () => expect(await tool.run('topicList', '-n', nameServer, '-c'), row(CLUSTER, topic)),
    topicRoute: async () => {
      const printed = await tool.run('topicRoute', ...onTopic)
      expect(printed, new RegExp(`"brokerAddrs":\\{0:"${literal(nameServer)}"`), /"brokerName":"tandemmq"/)
      return expect(printed, /"perm":6,\s*"readQueueNums":4,\s*"topicSysFlag":0,\s*"writeQueueNums":4/)
    },
    topicClusterList: async () => expect(await tool.run('topicClusterList', ...onTopic), row(CLUSTER)),
    getBrokerConfig: async () => {
      const printed = await tool.run('getBrokerConfig', ...onBroker)
      expect(
        printed,
        setting('brokerName', BROKER),
        setting('brokerClusterName', CLUSTER),
        setting('flushDiskType', 'SYNC_FLUSH'),
      )
      return expect(printed, setting('maxMessageSize', 4_194_304), setting('autoCreateTopicEnable', true))
    },
    updateBrokerConfig: async () => {
      const change = (name, value) => tool.run('updateBrokerConfig', ...onBroker, '-k', name, '-v', value)
      expect(await change('maxMessageSize', '70000'), /update broker config success/)
      expect(
        await tool.run('getBrokerConfig', ...onBroker),
        setting('maxMessageSize', 70_000),
        setting('messageBytesMax', 70_000),
      )
      await refused(change('colour', 'blue'), /CODE: 29/, /there is no setting colour; at run time: /)
      await refused(change('maxMessageSize', 'much'), /CODE: 29/, /a whole number from 1/)
      await refused(change('listenPort', '1'), /CODE: (16|29)/)
      expect(await change('maxMessageSize', '4194304'), /update broker config success/)
    },
    getNamesrvConfig: async () =>
      expect(await tool.run('getNamesrvConfig', '-n', nameServer), setting('brokerName', BROKER)),
    updateKvConfig: async () =>
      expect(
        await tool.run('updateKvConfig', '-n', nameServer, '-s', 'interop', '-k', 'key', '-v', 'value'),
        /create or update kv config to namespace success/,
      ),
  }
}

function messageScenarios({ tool, nameServer, topic, onTopic, busyTopic, group }) {
  const sent = { uniqueId: '', offsetId: '', queue: '' }
  return {
    sendMessage: async () => {
      const printed = await tool.run('sendMessage', ...onTopic, '-p', 'by hand', '-k', 'HandKey', '-c', 'HandTag')
      const found = /^tandemmq\s+([0-3])\s+SEND_OK\s+([0-9A-F]{32,})/m.exec(printed)
      if (found === null) throw new Error(`no queue and id in: ${printed}`)
      Object.assign(sent, { queue: found[1], uniqueId: found[2] })
    },
    topicStatus: async () => {
      const day = /\d{4}-\d\d-\d\d/
      const rows = QUEUES.map((queue) =>
        String(queue) === sent.queue ? row(BROKER, queue, 0, 1, day) : row(BROKER, queue, 0, 0),
      )
      return expect(await tool.run('topicStatus', ...onTopic), ...rows)
    },
    statsAll: async () => {
      const rate = /\d+\.\d\d/
      expect(await tool.run('statsAll', '-n', nameServer, '-t', topic), row(topic, 0, rate, 1, 'NO_CONSUMER'))
      const printed = await tool.run('statsAll', '-n', nameServer, '-t', busyTopic)
      return expect(printed, row(busyTopic, group, 0, rate, rate, SENT, SENT))
    },
    queryMsgByKey: () =>
      eventually(async () =>
        expect(await tool.run('queryMsgByKey', ...onTopic, '-k', 'HandKey'), row(sent.uniqueId, sent.queue, 0)),
      ),
    queryMsgByUniqueKey: async () => {
      const printed = await tool.run('queryMsgByUniqueKey', ...onTopic, '-i', sent.uniqueId)
      expect(printed, ...messagePatterns(topic, sent))
      sent.offsetId = offsetIdOf(printed)
    },
    queryMsgById: async () =>
      expect(await tool.run('queryMsgById', ...onTopic, '-i', sent.offsetId), ...messagePatterns(topic, sent)),
    queryMsgByOffset: async () =>
      expect(
        await tool.run('queryMsgByOffset', ...onTopic, '-b', BROKER, '-i', sent.queue, '-o', '0'),
        ...messagePatterns(topic, sent),
      ),
    consumeMessage: async () => {
      const printed = await tool.run('consumeMessage', ...onTopic)
      expect(printed, /Consume ok/, new RegExp(`^MSGID: ${sent.uniqueId} .*KEYS=HandKey.*BODY: by hand`, 'm'))
      return expect(printed, ...QUEUES.map((queue) => new RegExp(`queueId=${queue}\\] print msg finished`)))
    },
    printMsg: async () => {
      const printed = await tool.run('printMsg', ...onTopic, '-d', 'true')
      const queue = new RegExp(`minOffset=0, maxOffset=1, MessageQueue \\[.*queueId=${sent.queue}\\]`)
      return expect(printed, queue, new RegExp(`^MSGID: ${sent.uniqueId} .*BODY: by hand`, 'm'))
    },
    printMsgByQueue: async () => {
      const print = (queue) =>
        tool.run('printMsgByQueue', ...onTopic, '-a', BROKER, '-i', queue, '-p', 'true', '-d', 'true')
      return expect(await print(sent.queue), new RegExp(sent.uniqueId), /by hand/)
    },
    queryCq: async () => {
      const printed = await tool.run('queryCq', '-n', nameServer, '-t', busyTopic, '-q', '0', '-i', '0', '-c', '5')
      const entry = (index) =>
        new RegExp(`idx: ${index}\\s+ConsumeQueueData\\{physicOffset=\\d+, physicSize=\\d{3}, tagsCode=83834,`)
      return expect(printed, /max: 2, min: 0/, entry(0), entry(1))
    },
  }
}

/** As the tool shows one message. */
function messagePatterns(topic, { queue, uniqueId }) {
  const lines = { Topic: topic, Tags: '[HandTag]', Keys: '[HandKey]', 'Queue ID': queue, 'Queue Offset': 0 }
  const more = { 'Reconsume Times': 0, 'System Flag': 0, Properties: new RegExp(`\\{.*UNIQ_KEY=${uniqueId}.*\\}`) }
  return Object.entries({ ...lines, ...more }).map(([name, value]) => setting(name, value))
}

function groupScenarios({ tool, nameServer, prefix, group, busyTopic, onBroker }) {
  const made = `${prefix}-made`
  const clone = `${prefix}-clone`
  const targets = QUEUES.map((queue) => row(BROKER, queue, 2))
  const progress = (name) => tool.run('consumerProgress', '-n', nameServer, '-g', name)
  return {
    updateSubGroup: async () => {
      const printed = await tool.run('updateSubGroup', ...onBroker, '-g', made, '-r', '3')
      return expect(printed, /success/, new RegExp(`groupName=${literal(made)}, .*retryMaxTimes=3`))
    },
    getConsumerConfig: async () =>
      expect(
        await tool.run('getConsumerConfig', '-n', nameServer, '-g', made),
        ...[setting('groupName', made), setting('retryMaxTimes', 3), setting('consumeEnable', true)],
      ),
    deleteSubGroup: async () => {
      expect(await tool.run('deleteSubGroup', ...onBroker, '-g', made), /delete subscription group .* success/)
      const left = await tool.run('getConsumerConfig', '-n', nameServer, '-g', made).catch((error) => error.message)
      if (setting('groupName', made).test(left)) throw new Error(`${made} is still there: ${left}`)
    },
    consumerProgress: () =>
      eventually(async () =>
        expect(await progress(group), ...consumed(busyTopic, BROKER), /Consume TPS: \d/, /Consume Diff Total: 0/),
      ),
    consumerProgressAll: async () =>
      expect(await tool.run('consumerProgress', '-n', nameServer), row(group, 1, 'V5_3_3', 'PUSH', 'CLUSTERING', 0, 0)),
    consumerConnection: async () => {
      const printed = await tool.run('consumerConnection', '-n', nameServer, '-g', group)
      expect(
        printed,
        /\S+@\d+#\d+\s+127\.0\.0\.1:\d+\s+JAVA\s+V5_3_3/,
        row(busyTopic, '*'),
        row(`%RETRY%${group}`, '*'),
      )
      return expect(printed, setting('ConsumeType', 'CONSUME_PASSIVELY'), setting('MessageModel', 'CLUSTERING'))
    },
    producerConnection: async () =>
      expect(
        await tool.run('producerConnection', '-n', nameServer, '-g', `P${group}`, '-t', busyTopic),
        row('0001', /\S+@\d+#\d+/, /127\.0\.0\.1:\d+/, 'JAVA', 'V5_3_3'),
      ),
    consumerStatus: async () =>
      expect(await tool.run('consumerStatus', '-n', nameServer, '-g', group), /V5_3_3/, /\S+@\d+#\d+/),
    producer: async () => {
      const printed = await tool.run('producer', ...onBroker)
      return expect(
        printed,
        new RegExp(`producer group \\(P${literal(group)}\\) instance : clientId=\\S+@.*language=JAVA`),
      )
    },
    brokerConsumeStats: async () => {
      const rows = QUEUES.map((queue) => row(busyTopic, group, BROKER, queue, 2, 2, 0, /\d{4}-\d\d-\d\d/))
      return expect(await tool.run('brokerConsumeStats', ...onBroker), ...rows, /Diff Total: \d/)
    },
    cloneGroupOffset: async () => {
      await tool.run('updateSubGroup', ...onBroker, '-g', clone)
      const which = ['-t', busyTopic, '-s', group, '-d', clone, '-o', 'true']
      expect(await tool.run('cloneGroupOffset', '-n', nameServer, ...which), /clone group offset success/)
      return expect(await progress(clone), ...consumed(busyTopic, BROKER))
    },
    resetOffsetByTime: async () => {
      const where = ['-n', nameServer, '-t', busyTopic, '-g', clone]
      const first = QUEUES.map((queue) => row(BROKER, queue, 0))
      expect(await tool.run('resetOffsetByTime', ...where, '-s', String(Date.now() - 3_600_000)), ...first)
      expect(await progress(clone), ...QUEUES.map((queue) => row(busyTopic, BROKER, queue, 2, 0, 2)), /Diff Total: 8/)
      expect(await tool.run('resetOffsetByTime', ...where, '-s', '-1'), ...targets)
      return expect(await progress(clone), ...consumed(busyTopic, BROKER))
    },
    skipAccumulatedMessage: async () =>
      expect(await tool.run('skipAccumulatedMessage', '-n', nameServer, '-t', busyTopic, '-g', group), ...targets),
  }
}

function lastScenarios({ tool, nameServer, topic, onTopic }) {
  return {
    updateTopicPerm: async () => {
      expect(await tool.run('updateTopicPerm', ...onTopic, '-b', nameServer, '-p', '4'), /success/)
      return expect(await tool.run('topicRoute', ...onTopic), /"perm":4/)
    },
    deleteTopic: async () => {
      expect(await tool.run('deleteTopic', ...onTopic, '-c', CLUSTER), /delete topic \[.*\] from cluster .* success/)
      const left = await tool.run('topicList', '-n', nameServer)
      if (row(topic).test(left)) throw new Error(`${topic} is still listed`)
    },
  }
}

/** @param group a consumer group with a connected member; @returns scenario → function */
export function mqadminScenarios({ tool, broker, prefix, group, topic: busyTopic }) {
  const nameServer = broker.address
  const topic = `${prefix}-admin`
  const onTopic = ['-n', nameServer, '-t', topic]
  const world = {
    tool,
    nameServer,
    prefix,
    group,
    busyTopic,
    topic,
    onTopic,
    onBroker: ['-n', nameServer, '-b', nameServer],
  }
  return { ...clusterScenarios(world), ...messageScenarios(world), ...groupScenarios(world), ...lastScenarios(world) }
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
