import { type SnapshotReader, SnapshotWriter } from '../../snapshot.ts'
import type { Departure, Departures } from './departures.ts'
import { type GroupLine, PENDING } from './group-line.ts'
import type { GroupLines } from './group-lines.ts'

/** Neither can be part of a topic or of the value of a property. */
const KEY_AFTER = '\x01'
const LINE_AFTER = '\x02'

/** One place of a checkpoint. */
export interface SavedPlace {
  line: GroupLine
  place: number
  record: number
  size: number
  heldSince: number
}

/** Everybody in line by what the log says before `before`; whoever left by a later record is still there. */
export function saveLines(lines: GroupLines, departures: Departures, before: number): Buffer[] {
  const gone = new Map<GroupLine, Departure[]>()
  for (const one of departures.after(before)) {
    const known = gone.get(one.line)
    if (known === undefined) gone.set(one.line, [one])
    else known.push(one)
  }
  const [places, records, sizes, lengths]: [number[], number[], number[], number[]] = [[], [], [], []]
  const add = (place: number, record: number, size: number): void => {
    if (place >= before) return
    places.push(place)
    records.push(record < before ? record : PENDING)
    sizes.push(size)
  }
  // A key may have had another line before: first those of which only the gone are left.
  const all = [...new Set([...gone.keys(), ...lines])]
  for (const line of all) {
    const start = places.length
    const left = (gone.get(line) ?? []).sort((a, b) => a.place - b.place)
    let next = 0
    const addLeft = (upTo: number): void => {
      for (let one = left[next]; one !== undefined && one.place < upTo; one = left[++next]) {
        add(one.place, one.record, one.size)
      }
    }
    line.each((place, record, size) => {
      addLeft(place)
      add(place, record, size)
    })
    addLeft(Number.POSITIVE_INFINITY)
    lengths.push(places.length - start)
  }
  return new SnapshotWriter()
    .number(all.length)
    .text(all.map(({ topic, key }) => `${topic}${KEY_AFTER}${key}${LINE_AFTER}`).join(''))
    .column(Float64Array.from(all, ({ heldSince }) => heldSince))
    .column(Float64Array.from(lengths))
    .number(places.length)
    .column(Float64Array.from(places))
    .column(Float64Array.from(records))
    .column(Float64Array.from(sizes))
    .finish()
}

/** Reads what {@link saveLines} wrote, in order. */
export function loadLines(reader: SnapshotReader, lines: GroupLines, onPlace: (saved: SavedPlace) => void): void {
  const count = reader.number()
  const names = reader.text().split(LINE_AFTER)
  const since = reader.float64(count)
  const lengths = reader.float64(count)
  const total = reader.number()
  const places = reader.float64(total)
  const records = reader.float64(total)
  const sizes = reader.float64(total)
  let at = 0
  for (let n = 0; n < count; n++) {
    const [topic = '', key = ''] = (names[n] as string).split(KEY_AFTER)
    const bytes = Buffer.from(key, 'latin1')
    const line = lines.findOrAdd(topic, bytes, 0, bytes.length)
    for (let left = lengths[n] as number; left > 0; left--, at++) {
      const [place, record, size] = [places[at] as number, records[at] as number, sizes[at] as number]
      onPlace({ line, place, record, size, heldSince: since[n] as number })
    }
  }
}
