import { startBroker } from '@tandemmq/broker'
import { MemoryDisk } from '@tandemmq/broker/simulation'
import { Producer, PushConsumer, ReconsumeLater } from '@tandemmq/client'
import { MemoryNetwork, VirtualClock } from '@tandemmq/remoting/simulation'
import { expect, test } from 'vitest'

/** Three producers' messages, two members of a group, a failing handler, a cut network: the history as each member saw it. */
async function history(seed: number): Promise<string[]> {
  const clock = new VirtualClock({ seed })
  const network = new MemoryNetwork({ clock, latencyMs: 1 })
  const world = { clock, network }
  const events: string[] = []
  const broker = await clock.run(
    startBroker({ ...world, dataDir: '/data', disk: new MemoryDisk(), host: '127.0.0.1', port: 9876 }),
  )
  const common = { ...world, nameServers: broker.address, group: 'g' }
  const member = (clientId: string): PushConsumer => {
    const consumer = new PushConsumer({ ...common, clientId, startFrom: 'first', concurrencyMax: 2 })
    consumer.subscribe('orders', '*', (message) => {
      events.push(`${clock.monotonic()} ${clientId} ${message.messageId} ${message.text()} ${message.attempt}`)
      if (message.attempt === 1 && Number(message.text()) % 5 === 0) throw new ReconsumeLater({ delayMs: 1_000 })
    })
    return consumer
  }
  const producer = new Producer({ ...common, group: 'p' })
  await clock.run(producer.start())
  const a = member('a')
  const b = member('b')
  await clock.run(Promise.all([a.start(), b.start()]))
  for (let n = 0; n < 20; n++) {
    await clock.run(producer.send({ topic: 'orders', body: `${n}` }))
    await clock.advance(clock.random() * 50)
  }
  await clock.advance(30_000)
  await clock.run(a.close())
  for (let n = 20; n < 25; n++) await clock.run(producer.send({ topic: 'orders', body: `${n}` }))
  await clock.advance(30_000)
  await clock.run(Promise.all([producer.close(), b.close()]))
  await clock.run(broker.close())
  return events
}

test('a whole system on a virtual clock and a memory network has the same history for the same seed', async () => {
  const first = await history(7)
  expect(await history(7)).toEqual(first)
  const handled = first.map((line) => line.split(' ').slice(3).join(' '))
  const expected = Array.from({ length: 25 }, (_, n) => (n % 5 === 0 ? [`${n} 1`, `${n} 2`] : [`${n} 1`])).flat()
  expect(handled.toSorted()).toEqual(expected.toSorted())
  expect(await history(8)).not.toEqual(first)
})
