// The codecs alone: what one header, one record and one property block cost.
import { Buffer } from 'node:buffer'
import {
  encodeCommand,
  HeaderView,
  hostBytes,
  PropertyScan,
  recordSize,
  writeRecord,
} from '../../packages/protocol/dist/index.js'
import { measure } from './figures.mjs'

const properties = 'UNIQ_KEY\u00017F0000010001135FBAA40000000A0001\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002'
const frame = encodeCommand({
  code: 310,
  opaque: 7,
  extFields: {
    a: 'bench',
    b: 'bench',
    c: 'TBW102',
    d: 4,
    e: 1,
    f: 0,
    g: 1700000000000,
    h: 0,
    i: properties,
    j: 0,
    k: false,
    m: false,
  },
  body: Buffer.alloc(1024, 'x'),
})

async function headerScan(count) {
  const view = new HeaderView()
  let sum = 0
  const figures = await measure(count, () => {
    for (let i = 0; i < count; i++) {
      view.scan(frame, 4, frame.length)
      sum += view.opaque
    }
  })
  if (sum !== 7 * count) throw new Error('the header was read wrong')
  return figures
}

async function recordEncode(count) {
  const block = Buffer.from(properties)
  const body = Buffer.alloc(1024, 'x')
  const host = hostBytes('127.0.0.1', 9876)
  const fields = {
    topic: Buffer.from('bench'),
    queueId: 0,
    queueOffset: 0,
    physicalOffset: 0,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 1,
    bornHost: host,
    storeTimestamp: 1,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    bodyStart: 0,
    bodyEnd: body.length,
    properties: block,
    propertiesStart: 0,
    propertiesEnd: block.length,
  }
  const target = Buffer.alloc(recordSize(fields))
  const view = new DataView(target.buffer, target.byteOffset, target.length)
  return measure(count, () => {
    for (let i = 0; i < count; i++) writeRecord(target, view, 0, fields)
  })
}

async function propertyScan(count) {
  const block = Buffer.from(properties)
  const scan = new PropertyScan()
  return measure(count, () => {
    for (let i = 0; i < count; i++) scan.scan(block, 0, block.length)
  })
}

export const benchmarks = [
  { name: 'wire: scan a send header', messages: { smoke: 5_000, full: 2_000_000 }, run: headerScan },
  { name: 'wire: write a 1 KiB record', messages: { smoke: 5_000, full: 1_000_000 }, run: recordEncode },
  { name: 'wire: scan properties', messages: { smoke: 5_000, full: 5_000_000 }, run: propertyScan },
]
