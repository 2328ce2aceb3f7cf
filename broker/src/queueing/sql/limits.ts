/** Characters (UTF-16 units) of an expression. Stock brokers have no limit; a header that carries one has 64 KiB. */
export const SQL_LENGTH_MAX = 16_384
/** Parentheses, signs and NOTs inside one another, and comparisons of comparisons. */
export const SQL_DEPTH_MAX = 128
/** What evaluating the expression once may cost; a comparison counts 1, a search for a text 8. */
export const SQL_COST_MAX = 2_048
