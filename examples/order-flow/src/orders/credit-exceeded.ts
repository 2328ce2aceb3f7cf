import { ConflictException } from '@nestjs/common'

/** The customer would owe more than was agreed. Over HTTP it is a 409. */
export class CreditExceeded extends ConflictException {}
