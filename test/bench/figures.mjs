/** Times `work`, which handled `messages`; rates per second, CPU in microseconds of this process per message. */
export async function measure(messages, work) {
  const cpu = process.cpuUsage()
  const started = performance.now()
  const latencies = (await work()) ?? []
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return {
    perSecond: Math.round(messages / seconds),
    cpuMicros: Number(((user + system) / messages).toFixed(2)),
    ...(latencies.length > 0 && percentiles(latencies)),
  }
}

function percentiles(latencies) {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share) => Number(sorted[Math.floor((sorted.length - 1) * share)].toFixed(3))
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}
