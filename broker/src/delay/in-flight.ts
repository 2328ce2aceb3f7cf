import type { AppendCompletion, StoreError } from '../store/index.ts'

/** Hears what became of the appends below. */
export interface TimerOwner {
  parked(physicalOffset: number, dueAt: number, fingerprint: number): void
  fired(id: number, storeTimestamp: number): void
  fireFailed(): void
}

/** A parked record on its way to the disk. */
export class Parking implements AppendCompletion {
  readonly #service: TimerOwner
  readonly #dueAt: number
  readonly #fingerprint: number
  readonly #inner: AppendCompletion | undefined
  physicalOffset = -1

  constructor(service: TimerOwner, dueAt: number, fingerprint: number, inner: AppendCompletion | undefined) {
    this.#service = service
    this.#dueAt = dueAt
    this.#fingerprint = fingerprint
    this.#inner = inner
  }

  stored(): void {
    this.#service.parked(this.physicalOffset, this.#dueAt, this.#fingerprint)
    this.#inner?.stored()
  }

  failed(error: StoreError): void {
    this.#inner?.failed(error)
  }
}

/** A delivered copy on its way to the disk. */
export class Firing implements AppendCompletion {
  readonly #service: TimerOwner
  readonly #id: number
  readonly #at: number

  constructor(service: TimerOwner, id: number, at: number) {
    this.#service = service
    this.#id = id
    this.#at = at
  }

  stored(): void {
    this.#service.fired(this.#id, this.#at)
  }

  failed(): void {
    this.#service.fireFailed()
  }
}
