import type { Principal } from '../access/caller.js';
import type { Permission } from '../access/permissions.js';
import { type Ownership, type AccessBasis, accessBasisOn } from '../access/access-basis.js';
import type { ProjectRole } from '../projects/project-role.js';
import { apiKeyNotFound } from './api-key.errors.js';
import { permissionDenied } from '../access/access.errors.js';

/** Permissions that let a caller see keys and change nothing. */
const READS: ReadonlySet<Permission> = new Set(['platform:api-keys:read', 'platform:usage:read']);

/**
 * Why a caller may act on a key. A key that acts on itself is neither its owner nor needs a permission; an admin of the
 * key's project may do what its owner may, a member may read it.
 */
export type KeyStanding = AccessBasis | 'project-admin' | 'project-member' | 'itself';

/** Whose a key is, and what the caller is in its project; null: no member, or it is in none. */
export interface KeyOwnership extends Ownership {
  readonly id: string;
  readonly projectRole: ProjectRole | null;
}

/** What `@OwnerOr` says about one act on a key; the guard reads it from the route, services name it again. */
export interface KeyRule {
  readonly permission: Permission;
  readonly itself?: boolean;
}

/** The owner-or rule for keys. null: the caller may not even know that the key exists. */
export function standingOnKey(principal: Principal, rule: KeyRule, key: KeyOwnership): KeyStanding | null {
  const standing = accessBasisOn(principal, rule.permission, key);
  if (standing !== null) return standing;
  if (key.projectRole === 'admin') return 'project-admin';
  if (key.projectRole === 'member' && READS.has(rule.permission)) return 'project-member';
  return rule.itself && principal.kind === 'key' && principal.id === key.id ? 'itself' : null;
}

/**
 * As `standingOnKey`, for an act that is refused without a standing. A member of the key's project, who sees the key,
 * is told what the act needs.
 *
 * @throws DomainError 403 PERMISSION_DENIED for a member; 404 for all others
 */
export function requireStanding(principal: Principal, rule: KeyRule, key: KeyOwnership): KeyStanding {
  const standing = standingOnKey(principal, rule, key);
  if (standing !== null) return standing;
  throw key.projectRole === null ? apiKeyNotFound() : permissionDenied(rule.permission);
}
