export { BatchReader, decodeBatch, encodeBatch } from './batch.ts'
export type { BatchEntry, BatchPosition } from './batch.ts'
export {
  CLIENT_VERSION,
  LanguageCode,
  languageCode,
  languageName,
  PROTOCOL_VERSION,
  RequestCode,
  requestName,
  ResponseCode,
  responseName,
  TandemRequestCode,
} from './codes.ts'
export { commandOf, decodeCommand, encodeCommand } from './command.ts'
export type { CommandInit, RemotingCommand } from './command.ts'
export { COMPRESS_FROM_BYTES, COMPRESSED_SYS_FLAG, compressBody, decompressBody } from './compression.ts'
export { crc32Combine, crc32Of } from './crc32.ts'
export { DEFAULT_DELAY_LEVEL_TEXT, DEFAULT_DELAY_LEVELS, parseDelayLevels } from './delay-level.ts'
export { errorTable, ProtocolError, TandemError } from './errors.ts'
export type { ErrorCode } from './errors.ts'
export { Field, fieldName } from './fields.ts'
export type { FieldName } from './fields.ts'
export { FRAME_BYTES_MAX, FrameSplitter } from './frame.ts'
export type { FrameSink } from './frame.ts'
export { javaStringHash, tagHash } from './hash.ts'
export { HeaderView } from './header-view.ts'
export { addressText, hostBytes, hostText } from './host.ts'
export { parseLenientJson } from './lenient-json.ts'
export { offsetMessageId, parseOffsetMessageId, writeOffsetMessageId } from './message-id.ts'
export {
  deadLetterTopic,
  GROUP_LENGTH_MAX,
  groupNameProblem,
  isDeadLetterTopic,
  isRetryTopic,
  isSendForbidden,
  isSystemTopic,
  retryTopic,
  SystemTopic,
  TOPIC_LENGTH_MAX,
  topicNameProblem,
} from './names.ts'
export { decodeProperties, encodeProperties } from './properties.ts'
export { PropertyName } from './property-names.ts'
export { PropertyScan, ScannedProperty } from './property-scan.ts'
export {
  BLANK_MAGIC,
  bodyLengthAt,
  bornHostBytes,
  PROPERTIES_BYTES_MAX,
  readInt32,
  readInt64,
  RECORD_MAGIC_V1,
  RECORD_MAGIC_V2,
  RecordAt,
  storeHostBytes,
  storeTimestampAt,
  writeInt64,
} from './record-layout.ts'
export { emptyRecordFields, encodeRecord, lastRecordChecksum, recordSize, writeRecord } from './record.ts'
export type { RecordFields } from './record.ts'
export { RecordView } from './record-view.ts'
export { decodeRecord, decodeRecords } from './stored-message.ts'
export type { StoredMessage } from './stored-message.ts'
export { PullSysFlag, SysFlag } from './sys-flag.ts'
export {
  decimalLength,
  writeDecimal,
  writeHex,
  writeHexInt32,
  writeHexInt64,
  writeJsonText,
  writeSignedDecimal,
} from './text-writer.ts'
export { UniqueIdGenerator } from './unique-id.ts'
export {
  type CheckAnswer,
  decodeCheckAnswers,
  encodeCheckAnswers,
  encodeEnds,
  END_ENTRY_BYTES,
  type EndEntry,
  EndReader,
  EndResult,
  ENDS_MAX,
} from './transaction-batch.ts'
