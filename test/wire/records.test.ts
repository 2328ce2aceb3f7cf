import { crc32 } from 'node:zlib'
import { decodeRecord, decodeRecords, encodeRecord, lastRecordChecksum, RecordView } from '@tandemmq/protocol'
import { expect, test } from 'vitest'
import { goldenRecords } from './golden.ts'

const records = goldenRecords()

test('every recorded stored message decodes to the fields the Java decoder found', () => {
  expect(records.length).toBeGreaterThan(25)
  for (const { record, decoded } of records) {
    const message = decodeRecord(record)
    expect({
      physicalOffset: Number(message.physicalOffset),
      size: message.totalSize,
      magic: message.magic.toString(16),
      topic: message.topic,
      queueId: message.queueId,
      queueOffset: Number(message.queueOffset),
      flag: message.flag,
      sysFlag: message.sysFlag,
      bodyCrc: message.bodyCrc,
      bornTimestamp: message.bornTimestamp,
      bornHost: message.bornHost,
      storeTimestamp: message.storeTimestamp,
      storeHost: message.storeHost,
      reconsumeTimes: message.reconsumeTimes,
      preparedTransactionOffset: Number(message.preparedTransactionOffset),
      properties: { ...message.properties },
      offsetMsgId: message.offsetMessageId,
      storedBodyBytes: message.body.length,
    }).toEqual({
      physicalOffset: decoded.physicalOffset,
      size: decoded.size,
      magic: decoded.magic,
      topic: decoded.topic,
      queueId: decoded.queueId,
      queueOffset: decoded.queueOffset,
      flag: decoded.flag,
      sysFlag: decoded.sysFlag,
      bodyCrc: decoded.bodyCrc,
      bornTimestamp: decoded.bornTimestamp,
      bornHost: decoded.bornHost,
      storeTimestamp: decoded.storeTimestamp,
      storeHost: decoded.storeHost,
      reconsumeTimes: decoded.reconsumeTimes,
      preparedTransactionOffset: decoded.preparedTransactionOffset,
      properties: decoded.properties,
      offsetMsgId: decoded.offsetMsgId,
      storedBodyBytes: decoded.storedBodyBytes,
    })
  }
})

test('every recorded stored message is encoded again byte for byte, with its checksum', () => {
  const view = new RecordView()
  for (const { record } of records) {
    expect(view.at(record, 0) && view.validate()).toBe(true)
    const again = encodeRecord({
      topic: record.subarray(view.topicStart, view.topicEnd),
      queueId: view.queueId,
      queueOffset: view.queueOffset,
      physicalOffset: view.physicalOffset,
      flag: view.flag,
      sysFlag: view.sysFlag,
      bornTimestamp: view.bornTimestamp,
      bornHost: record.subarray(view.bornHostStart, view.bornHostEnd),
      storeTimestamp: view.storeTimestamp,
      storeHost: record.subarray(view.storeHostStart, view.storeHostEnd),
      reconsumeTimes: view.reconsumeTimes,
      preparedTransactionOffset: view.preparedTransactionOffset,
      body: record,
      bodyStart: view.bodyStart,
      bodyEnd: view.bodyEnd,
      properties: record,
      propertiesStart: view.propertiesStart,
      propertiesEnd: view.propertiesEnd,
    })
    expect(again).toEqual(record)
    expect(lastRecordChecksum()).toBe(crc32(record))
  }
})

test('the recorded records in a row are read one after the other', () => {
  const decoded = decodeRecords(Buffer.concat(records.map(({ record }) => record)))
  expect(decoded.map(({ topic }) => topic)).toEqual(records.map((golden) => golden.decoded.topic))
})
