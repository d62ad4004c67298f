import { cannotGrant } from './access.errors.js';
import { containsAll } from './permission-grammar.js';

/**
 * Nobody can grant permissions they lack.
 *
 * @throws DomainError 403 CANNOT_GRANT naming what of `wanted` is not in `held`
 */
export function requireHeld(held: readonly string[], wanted: readonly string[]): void {
  const lacking = [...new Set(wanted)].filter((grant) => !containsAll(held, [grant]));
  if (lacking.length > 0) throw cannotGrant(lacking.sort());
}
