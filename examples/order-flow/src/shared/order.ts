/** An order as the web shop exports it and as the services tell each other. */
export interface Order {
  id: string
  customer: string
  items: OrderItem[]
  /** Euro with two decimals, as text: Postgres' `numeric` reads it, or refuses it. */
  amount: string
  /** `card` is paid at once, `transfer` when the money arrives. */
  payment: 'card' | 'transfer'
}

export interface OrderItem {
  sku: string
  quantity: number
}
