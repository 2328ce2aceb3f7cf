export { SqlExpression } from './sql-expression.ts'
export { SqlExpressions } from './sql-expressions.ts'
export { SqlMatcher } from './sql-matcher.ts'
