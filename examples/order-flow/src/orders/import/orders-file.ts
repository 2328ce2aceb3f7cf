import { readCsv } from '../../shared/csv.ts'
import type { Order } from '../../shared/order.ts'

/** Orders as the shop exports them, mistakes included; items as `TD-101:3 TD-106:1`. */
export function readOrdersFile(file: string): Order[] {
  return readCsv(file).map(({ id = '', customer = '', items = '', amount = '', payment }) => ({
    id,
    customer,
    items: items.split(' ').map((item) => {
      const [sku = '', quantity] = item.split(':')
      return { sku, quantity: Number(quantity) }
    }),
    amount,
    payment: payment === 'transfer' ? 'transfer' : 'card',
  }))
}
