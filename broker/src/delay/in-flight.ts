import type { AppendCompletion, StoreError } from '../store/index.ts'
import type { ParkedRecord } from './parked-records.ts'

/** The parked record is as safe as the flush policy promises: from now on it will be delivered. */
export type OnParked = (physicalOffset: number, parked: ParkedRecord) => void

/** Hears what became of a delivery. */
export interface FiringOwner {
  fired(id: number, storeTimestamp: number): void
  fireFailed(): void
}

/** A parked record on its way to the disk. */
export class Parking implements AppendCompletion {
  readonly #onParked: OnParked
  readonly #parked: ParkedRecord
  readonly #inner: AppendCompletion | undefined
  physicalOffset = -1

  constructor(onParked: OnParked, parked: ParkedRecord, inner: AppendCompletion | undefined) {
    this.#onParked = onParked
    this.#parked = parked
    this.#inner = inner
  }

  stored(): void {
    this.#onParked(this.physicalOffset, this.#parked)
    this.#inner?.stored()
  }

  failed(error: StoreError): void {
    this.#inner?.failed(error)
  }
}

/** A delivered copy on its way to the disk. */
export class Firing implements AppendCompletion {
  readonly #service: FiringOwner
  readonly #id: number
  readonly #at: number

  constructor(service: FiringOwner, id: number, at: number) {
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
