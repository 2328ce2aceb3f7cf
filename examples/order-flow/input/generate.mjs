// How the files beside this one were made: `node examples/order-flow/input/generate.mjs`. Same seed, same files; a test
// compares. outcomes.csv is what the demo is checked against: written from the rules below, not by the services.
import { writeFileSync } from 'node:fs'

const LINES = 300
let state = 20_260

/** A number in [0, limit); mulberry32. */
function random(limit) {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % limit
}

// id, name, credit in cents. The first four are so far from their limit that a cancelled order changes nothing for them.
const customers = [
  ['C-101', 'Hafenkontor Lübeck', 9_000_000],
  ['C-102', 'Café Morgenrot', 9_000_000],
  ['C-103', 'Atelier Nowak', 9_000_000],
  ['C-104', 'Grand Hotel Adria', 9_000_000],
  ['C-105', 'Buchladen am Ring', 396_000],
  ['C-106', 'Praxis Dr. Okafor', 528_000],
  ['C-107', 'Kindergarten Sonnenweg', 90_000],
  ['C-108', 'Weinhandel Petrov', 704_000],
  ['C-109', 'Kanzlei Berger & Roth', 572_000],
  ['C-110', 'Yogastudio Lotus', 60_000],
  ['C-111', 'Fahrrad Jansen', 660_000],
  ['C-112', 'Musikschule Allegro', 484_000],
  ['C-113', 'Druckerei Schwarz', 616_000],
  ['C-114', 'Blumen Amélie', 374_000],
  ['C-115', 'Zahnlabor Lindqvist', 550_000],
  ['C-116', 'Kulturverein Südstadt', 440_000],
]

// sku, title, price in cents, on hand.
const articles = [
  ['TD-101', 'Desk lamp', 4_990, 2_000],
  ['TD-102', 'Office chair', 18_900, 2_000],
  ['TD-103', 'Standing desk', 42_500, 2_000],
  ['TD-104', 'Whiteboard 120 x 90', 7_950, 2_000],
  ['TD-105', 'Coffee machine', 24_900, 2_000],
  ['TD-106', 'Storage box', 1_290, 2_000],
  ['TD-107', 'Bookshelf', 9_900, 2_000],
  ['TD-108', 'Coat rack', 3_450, 2_000],
  ['TD-109', 'Wall clock', 2_795, 2_000],
  ['TD-110', 'Door mat', 1_850, 2_000],
]
// Still in the shop's catalogue, no longer in the warehouse: stock can do nothing with such an order.
const discontinued = ['TD-900', 'Fax machine', 12_900]

// By line, counted from 0.
const malformed = new Map([
  [8, '"12,90"'],
  [33, 'n/a'],
  [71, '-49.90'],
  [118, ''],
  [166, 'NaN'],
  [204, '129.00 EUR'],
  [251, '0.00'],
])
const unknownCustomer = new Set([14, 47, 95, 149, 188, 233, 276])
const unpaid = new Set([3, 19, 27, 52, 90, 104, 131, 145, 172, 198, 219, 240, 262, 281])
const poison = new Set([22, 128, 227])
const sentTwice = new Set([11, 84, 193])

const euro = (cents) => (cents / 100).toFixed(2)
const booked = new Map(customers.map(([id]) => [id, 0]))
const orders = []
const outcomes = []

for (let line = 0; line < LINES; line++) {
  const id = `O-${1001 + line}`
  const at = new Date(Date.UTC(2026, 2, 2, 8, 0, 0) + line * 47_000 + random(40_000)).toISOString().slice(0, 19)
  const [customer, , credit] =
    unpaid.has(line) || poison.has(line) ? customers[random(4)] : customers[random(customers.length)]
  const chosen = new Map()
  const kinds = 1 + random(3)
  while (chosen.size < kinds) chosen.set(articles[random(articles.length)], 1 + random(3))
  if (poison.has(line)) chosen.set(discontinued, 1)
  const items = [...chosen].map(([[sku], quantity]) => `${sku}:${quantity}`).join(' ')
  const cents = [...chosen].reduce((sum, [[, , price], quantity]) => sum + price * quantity, 0)

  const who = unknownCustomer.has(line) ? `C-9${line}` : customer
  const amount = malformed.get(line) ?? euro(cents)
  const row = [id, at, who, items, amount, unpaid.has(line) ? 'transfer' : 'card'].join(',')
  orders.push(row)
  if (sentTwice.has(line)) orders.push(row)

  let outcome = unpaid.has(line) ? 'cancelled' : poison.has(line) ? 'poison' : 'paid'
  if (malformed.has(line) || unknownCustomer.has(line)) outcome = 'invalid'
  else if (booked.get(customer) + cents > credit) outcome = 'over-credit'
  else if (outcome !== 'cancelled') booked.set(customer, booked.get(customer) + cents)
  if ((unpaid.has(line) || poison.has(line)) && outcome === 'over-credit') throw new Error(`${id}: choose another seed`)
  outcomes.push([id, outcome].join(','))
}

function write(name, header, rows) {
  const folder = process.argv[2] ?? new URL('.', import.meta.url).pathname
  writeFileSync(`${folder}/${name}`, `${[header, ...rows].join('\n')}\n`)
}
write(
  'customers.csv',
  'id,name,credit',
  customers.map(([id, name, credit]) => [id, name, euro(credit)].join(',')),
)
write(
  'articles.csv',
  'sku,title,on_hand,price',
  articles.map(([sku, title, price, onHand]) => [sku, title, onHand, euro(price)].join(',')),
)
write('orders.csv', 'id,placed_at,customer,items,amount,payment', orders)
write('outcomes.csv', 'id,outcome', outcomes)
