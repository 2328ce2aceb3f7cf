import { Producer } from '@tandemmq/client'
import type { Command } from '../command.ts'
import { UsageError } from '../command.ts'

export const messagesSend: Command = {
  path: ['messages', 'send'],
  summary: 'Send one message',
  positionals: ['TOPIC', 'BODY'],
  options: {
    tag: { value: 'TAG', help: 'its tag' },
    key: { value: 'KEY', help: 'a key to find it by', multiple: true },
    property: { value: 'NAME=VALUE', help: 'a property of the application', multiple: true },
    'order-by': { value: 'TEXT', help: 'messages of the same text go to the same queue' },
    'delay-ms': { value: 'MS', help: 'deliver it so much later' },
    'dedup-key': { value: 'KEY', help: 'a repeat with this key is not stored again' },
    base64: { help: 'BODY is base64 of the bytes' },
  },
  example: `messages send orders '{"id":"o-1"}' --tag created --key o-1`,
  async run(call) {
    const [topic = '', text = ''] = call.positionals
    const properties: Record<string, string> = {}
    for (const given of call.texts('property')) {
      const [, name, value] = /^([^=]+)=(.*)$/.exec(given) ?? []
      if (name === undefined || value === undefined) {
        throw new UsageError(`--property takes NAME=VALUE, not "${given}"`)
      }
      properties[name] = value
    }
    if (call.flag('base64') && !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new UsageError('BODY is not base64')
    const message = {
      topic,
      body: call.flag('base64') ? Buffer.from(text, 'base64') : text,
      tag: call.text('tag'),
      keys: call.texts('key'),
      properties,
      orderBy: call.text('order-by'),
      delayMs: call.integer('delay-ms'),
      dedupKey: call.text('dedup-key'),
    }
    await using producer = new Producer({ nameServers: call.nameServer, group: 'CLIENT_INNER_PRODUCER' })
    await producer.start()
    const receipt = await producer.send(message)
    call.report(receipt, ({ messageId, brokerName, queueId, queueOffset, duplicate }) => {
      const place = `${brokerName} queue ${queueId} at ${queueOffset}`
      return `${messageId} ${duplicate ? 'was there already, in' : 'is stored in'} ${place}`
    })
  },
}
