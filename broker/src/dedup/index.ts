export { DedupWindow } from './dedup-window.ts'
export type { DedupStats, DedupTopic, DedupWindowOptions } from './dedup-window.ts'
