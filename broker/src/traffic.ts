import { Latency } from './measurements.ts'

/** Running totals of one kind of traffic; counting is three additions. Totals start with the process. */
export class Traffic {
  messages = 0
  /** Of whole records. */
  bytes = 0
  /** Requests, or answers, that carried them. */
  calls = 0

  count(messages: number, bytes: number): void {
    this.messages += messages
    this.bytes += bytes
    this.calls++
  }
}

/** @returns the traffic under `key`, started when there was none */
export function trafficOf(table: Map<string, Traffic>, key: string): Traffic {
  let traffic = table.get(key)
  if (traffic === undefined) table.set(key, (traffic = new Traffic()))
  return traffic
}

/** What consumers asked for and got. */
export class Deliveries {
  /** Age of the oldest message of each answer. */
  readonly age: Latency
  readonly total = new Traffic()
  /** Requests that were answered with messages. */
  found = 0
  /** Requests that were not. */
  missed = 0

  constructor(age = new Latency()) {
    this.age = age
  }

  /** @param byTopic of the group that got them */
  count(byTopic: Map<string, Traffic>, topic: string, messages: number, bytes: number): void {
    if (messages === 0) {
      this.missed++
      return
    }
    this.found++
    this.total.count(messages, bytes)
    trafficOf(byTopic, topic).count(messages, bytes)
  }
}
