import { PickType } from '@nestjs/swagger';
import { Satisfies, IfPresent } from '../common/validators.js';
import { microCentsFromCents } from '../common/money.js';
import { VerifyDto } from './verify.dto.js';

const isCents = (value: unknown) => {
  try {
    microCentsFromCents(value as number);
    return true;
  } catch {
    return false;
  }
};

/** A call to be tried on a key, without its secret. */
export class ExplainDto extends PickType(VerifyDto, ['ip', 'model', 'chatbot', 'scopes', 'cost'] as const) {
  /**
   * What the call may cost at most, in cents with at most 6 decimals.
   * @example 1.5
   */
  @IfPresent()
  @Satisfies('cents', isCents, 'must be a number of cents from 0 to 1000000000 with at most 6 decimals')
  reserveCents?: number;
}
