// Loaded into every process the demo starts: none outlives it, not even when the demo itself is killed.
process.once('disconnect', () => process.exit(1))
// Listening alone would keep a process alive that has nothing left to do.
process.channel?.unref()
