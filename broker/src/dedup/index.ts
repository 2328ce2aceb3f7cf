export { DedupWindow } from './dedup-window.ts'
export type { DedupWindowOptions } from './dedup-window.ts'
