import { Admin } from '@tandemmq/client'
import { expect, test } from 'vitest'
import { ChildProgram } from '../kit/child-program.ts'
import { tandemUp } from '../kit/tandem-program.ts'
import { freePort } from '../kit/free-port.ts'
import { temporaryDirectory } from '../kit/temporary-directory.ts'

const client = (...args: string[]): ChildProgram =>
  new ChildProgram({ file: 'test/kit/traced-process.mjs', args, readyLine: /^(ready)\n/m })

const linesOf = (program: ChildProgram): Map<string, string> =>
  new Map(program.out.split('\n').map((line) => line.split(' ') as [string, string]))

/** Records about one message as a reader of trace messages splits them, by type. */
async function tracesOf(admin: Admin, topic: string, messageId: string): Promise<Map<string, string[][]>> {
  const records = new Map<string, string[][]>()
  for (const message of await admin.messagesByKey(topic, messageId)) {
    for (const record of message.text().split('\u0002')) {
      const fields = record.split('\u0001')
      if (!fields.includes(messageId)) continue
      const type = fields[0] ?? ''
      records.set(type, [...(records.get(type) ?? []), fields])
    }
  }
  return records
}

test.each([
  ['default', 'RMQ_SYS_TRACE_TOPIC'],
  ['our-traces', 'our-traces'],
])(
  'traces of producers and consumers in processes of their own tell the way of each message (%s)',
  async (trace, topic) => {
    using directory = temporaryDirectory('trace')
    const program = tandemUp({ dataDir: directory.path, port: await freePort() })
    const members: ChildProgram[] = []
    try {
      const address = await program.ready()
      await using admin = new Admin({ nameServers: address })
      await admin.start()
      await admin.createTopic('orders')
      for (let n = 0; n < 2; n++) members.push(client('consume', address, trace))
      await Promise.all(members.map((member) => member.ready()))
      const producer = client('produce', address, trace)
      members.push(producer)
      expect(await producer.ended()).toBe('0')
      const ids = linesOf(producer)
      expect(ids.get('dropped')).toBe('0')
      const of = (name: string) => tracesOf(admin, topic, ids.get(name) ?? 'none')

      const first = ids.get('o-0')
      await expect
        .poll(async () => [...(await of('o-0')).keys()].toSorted(), { timeout: 15_000 })
        .toEqual(['Pub', 'SubAfter', 'SubBefore'])
      const records = await of('o-0')
      const pub = records.get('Pub')?.[0] ?? []
      expect(pub.slice(2, 8)).toEqual(['DefaultRegion', 'shop', 'orders', first, 'created', 'o-0'])
      expect([pub[8], pub[9], pub[11], pub[13], pub.length]).toEqual([address, '7', '0', 'true', 14])
      const before = records.get('SubBefore')?.[0] ?? []
      expect([before[3], before[5], before[6], before[7]]).toEqual(['billing', first, '0', 'o-0'])
      const after = records.get('SubAfter')?.[0] ?? []
      expect([after[1], after[2], after[4], after[6], after[8]]).toEqual([before[4], first, 'true', '0', 'billing'])

      await expect.poll(async () => (await of('o-3')).get('SubAfter')?.length, { timeout: 15_000 }).toBe(2)
      const twice = await of('o-3')
      expect(
        twice
          .get('SubBefore')
          ?.map((fields) => fields[6])
          .toSorted(),
      ).toEqual(['0', '1'])
      expect(
        twice
          .get('SubAfter')
          ?.map((fields) => fields[4])
          .toSorted(),
      ).toEqual(['false', 'true'])

      const late = await of('late')
      expect([late.get('Pub')?.[0]?.[11], late.get('Recall')?.[0]?.[6]]).toEqual(['3', 'true'])

      const paid = await of('p-1')
      expect(paid.get('Pub')?.[0]?.[11]).toBe('1')
      expect(paid.get('EndTransaction')?.[0]?.slice(9)).toEqual(['2', ids.get('p-1'), 'COMMIT_MESSAGE', 'false'])
    } finally {
      await Promise.all(members.map((member) => member.stop()))
      await program.stop()
    }
  },
)
