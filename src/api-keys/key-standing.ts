import type { Principal } from '../access/caller.js';
import type { Permission } from '../access/permissions.js';
import { type Ownership, type AccessBasis, accessBasisOn } from '../access/access-basis.js';

/** Why somebody may act on a key; a key that acts on itself is neither its owner nor needs a permission. */
export type KeyStanding = AccessBasis | 'itself';

/** What `@OwnerOr` says about one act on a key; the guard reads it from the route, services name it again. */
export interface KeyRule {
  readonly permission: Permission;
  readonly itself?: boolean;
}

/** The owner-or rule for keys. null: the caller may not even know that the key exists. */
export function standingOnKey(
  principal: Principal,
  rule: KeyRule,
  key: Ownership & { readonly id: string },
): KeyStanding | null {
  const standing = accessBasisOn(principal, rule.permission, key);
  if (standing !== null) return standing;
  return rule.itself && principal.kind === 'key' && principal.id === key.id ? 'itself' : null;
}
