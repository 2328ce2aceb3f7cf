// Receives everything of some topics and writes it down. Usage: node broker-consumer.mjs MODE ADDRESS HISTORY_DIR NAME GROUP TOPIC...
// MODE push: a member of a consumer group; stream: reads on its own from the beginning; audit: reads every queue from its
// first to its last message once, and ends. push and stream end on SIGTERM.
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { PullConsumer, PushConsumer } from '@tandemmq/client'
import { HistoryWriter } from '../kit/history-writer.mjs'

const [mode, nameServers, directory, name, group, ...topics] = process.argv.slice(2)
const history = new HistoryWriter(directory, name)
const stopping = new AbortController()
process.on('SIGTERM', () => stopping.abort())

function received(message) {
  const { body } = message
  history.write('recv', {
    id: body.subarray(0, body.indexOf(10)).toString(),
    hash: createHash('sha256').update(body).digest('base64url').slice(0, 16),
    group,
    topic: message.storedTopic,
    queueId: message.queueId,
    offset: Number(message.queueOffset),
    attempt: message.attempt,
  })
}

async function push() {
  const consumer = new PushConsumer({ nameServers, group, startFrom: 'first', rebalanceIntervalMs: 1_000 })
  for (const topic of topics) consumer.subscribe(topic, '*', async (message) => received(message))
  await consumer.start()
  console.log('ready')
  await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve))
  await consumer.close()
}

async function stream() {
  const consumer = new PullConsumer({ nameServers, group, requestTimeoutMs: 2_000 })
  await consumer.start()
  console.log('ready')
  const follow = async (topic) => {
    for (;;) {
      try {
        for await (const message of consumer.messages(topic, { signal: stopping.signal })) received(message)
        return
      } catch (error) {
        // Not created yet, or nobody there to ask: a failure before the first message, which begins anew.
        if (!error.retryable) throw error
        await pause(100)
      }
    }
  }
  await Promise.all(topics.map(follow))
  await consumer.close()
}

async function audit() {
  const consumer = new PullConsumer({ nameServers, group })
  await consumer.start()
  for (const topic of topics) {
    for (const queue of await consumer.queues(topic)) {
      const { queueId } = queue
      let { minOffset, maxOffset, nextOffset } = await consumer.pull(queue, 0n)
      const fields = { group, topic, queueId, minOffset: Number(minOffset), maxOffset: Number(maxOffset) }
      for (nextOffset = minOffset; nextOffset < maxOffset; ) {
        const result = await consumer.pull(queue, nextOffset, { batchMax: 256 })
        if (result.nextOffset <= nextOffset) throw new Error(`${topic}/${queueId} stops at ${nextOffset}`)
        for (const message of result.messages) received(message)
        nextOffset = result.nextOffset
      }
      history.write('read.all', fields)
    }
  }
  await consumer.close()
}

for (const topic of topics) history.write('join', { group, topic })
await { push, stream, audit }[mode]()
process.exit(0)
