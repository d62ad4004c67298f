import { includes, isInside, type Permissions, permissionsOf } from './permission-sets.js';

/** As much of a key policy as the experiment varies. */
export interface WorldPolicy {
  readonly maxRateLimitPerMinute?: number;
  readonly reservedTagPrefixes?: readonly string[];
}

export interface WorldRole {
  readonly name: string;
  permissions: readonly string[];
  keyPolicy: WorldPolicy | null;
  isActive: boolean;
}

export interface WorldUser {
  readonly id: string;
  readonly kind: 'person' | 'service';
  roles: readonly string[];
  managerIds: readonly string[];
  isActive: boolean;
}

export interface WorldKey {
  readonly id: string;
  readonly alias: string;
  ownerId: string;
  roles: readonly string[];
  rateLimitPerMinute: number | null;
  tags: readonly string[];
  isActive: boolean;
  deactivatedBy: string | null;
  expiresAt: Date | null;
  maxExpiresAt: Date | null;
  isRevoked: boolean;
}

/** Who asks: a person who is signed in, or a key that acts for its owner and never counts as it. */
export interface Actor {
  readonly label: string;
  readonly kind: 'person' | 'key';
  /** The person, or the owner of the key. */
  readonly userId: string;
  /** Roles of the key. */
  readonly keyRoles: readonly string[];
  readonly credentials: { readonly token?: string; readonly apiKey?: string };
}

/** What a rule says of an attempt. `either`: the rule is stricter than sets of permissions can tell. */
export type Ruling = boolean | 'either';

/** All of them hold; `either` where one says so and none says no. */
export function all(...rulings: readonly Ruling[]): Ruling {
  if (rulings.includes(false)) return false;
  return rulings.includes('either') ? 'either' : true;
}

/** The rules of rights and ownership over a model of users, roles and keys. It knows nothing of the product's code. */
export class World {
  readonly roles = new Map<string, WorldRole>();
  readonly users = new Map<string, WorldUser>();
  readonly keys = new Map<string, WorldKey>();

  held({ kind, userId, keyRoles }: Actor): Permissions {
    const own = this.permissionsOfUser(this.users.get(userId)!);
    return kind === 'person' ? own : this.permissionsOfRoles(keyRoles) & own;
  }

  may(actor: Actor, permission: string): boolean {
    return includes(this.held(actor), `platform:${permission}`);
  }

  holds(actor: Actor, permissions: Permissions): boolean {
    return isInside(permissions, this.held(actor));
  }

  owns({ kind, userId }: Actor, ownerId: string): boolean {
    return kind === 'person' && (ownerId === userId || this.users.get(ownerId)!.managerIds.includes(userId));
  }

  /** What a key of these roles may do for this owner. */
  keyPermissions(roles: readonly string[], ownerId: string): Permissions {
    return this.permissionsOfRoles(roles) & this.permissionsOfUser(this.users.get(ownerId)!);
  }

  liveKeysOf(ownerId: string): WorldKey[] {
    return [...this.keys.values()].filter((key) => key.ownerId === ownerId && !key.isRevoked);
  }

  /** Everything a user may do lies within what the actor may do; roles that are switched off count as well. */
  coversUser(actor: Actor, { roles }: Pick<WorldUser, 'roles'>): boolean {
    return this.holds(actor, this.assigned(roles)) && this.boundsUser(actor, roles);
  }

  /**
   * The actor may do what it takes to act as the user: with the keys the user owns, and those of accounts they manage.
   */
  mayActAs(actor: Actor, user: WorldUser): boolean {
    if (!this.coversUser(actor, user)) return false;
    const reached = [...this.users.values()].filter((one) => one.id === user.id || one.managerIds.includes(user.id));
    const foreign = reached.filter((one) => this.liveKeysOf(one.id).length > 0 && !this.owns(actor, one.id));
    if (foreign.length === 0) return true;
    return (
      this.may(actor, 'api-keys:update') &&
      foreign.every((one) => one.id === user.id || this.holds(actor, this.assigned(one.roles)))
    );
  }

  /** What binds the keys that the actor makes; null: nothing. What any role reserves binds everybody. */
  policyOf(actor: Actor): WorldPolicy | null {
    if (this.may(actor, 'api-keys:update')) return null;
    const reserved = [...this.roles.values()].flatMap(({ keyPolicy }) => keyPolicy?.reservedTagPrefixes ?? []);
    const own = this.ownPolicyOf(actor);
    return reserved.length === 0 ? own : { ...own, reservedTagPrefixes: [...new Set(reserved)] };
  }

  /** Whether a role's policy may be replaced, as far as that takes bounds or reservations away. */
  mayReplacePolicy(actor: Actor, before: WorldPolicy | null, after: WorldPolicy | null): boolean {
    return before === null || this.may(actor, 'api-keys:update') || contains(before, after);
  }

  /** Whether a role may become `after`, or go (null), as far as that takes bounds or reservations away. */
  mayLoosenRole(actor: Actor, before: WorldRole, after: WorldRole | null): boolean {
    const stated = (role: WorldRole | null) => (role?.isActive ? role.keyPolicy : null);
    return (
      this.mayReplacePolicy(actor, before.keyPolicy, after?.keyPolicy ?? null) &&
      this.mayReplacePolicy(actor, stated(before), stated(after))
    );
  }

  /** Whether a role may become `after`, as far as that widens what users with other roles besides are bound by. */
  mayLoosenHolders(actor: Actor, role: WorldRole, after: WorldRole): boolean {
    const holders = [...this.users.values()].filter(({ roles }) => roles.includes(role.name));
    const before = holders.map(({ roles }) => this.widest(roles)?.maxRateLimitPerMinute);
    this.roles.set(role.name, after);
    const policies = holders.map(({ roles }) => this.widest(roles));
    this.roles.set(role.name, role);
    return before.every(
      (max, index) =>
        max === undefined || this.mayReplacePolicy(actor, { maxRateLimitPerMinute: max }, policies[index]!),
    );
  }

  /** Whether a user may have `roles` instead, as far as that takes bounds from the keys that the user makes. */
  mayLoosenUser(actor: Actor, user: WorldUser, roles: readonly string[]): boolean {
    const max = this.widest(user.roles)?.maxRateLimitPerMinute;
    if (max === undefined || !includes(this.permissionsOfRoles(roles), 'platform:api-keys:create')) return true;
    return this.mayReplacePolicy(actor, { maxRateLimitPerMinute: max }, this.widest(roles));
  }

  /** The key policy of the actor's own roles, if it binds them. */
  private ownPolicyOf(actor: Actor): WorldPolicy | null {
    return this.may(actor, 'api-keys:update') ? null : this.widest(this.users.get(actor.userId)!.roles);
  }

  /** Whether a role may become `after`, as far as key policies go. */
  boundsRole(actor: Actor, before: WorldRole | null, after: WorldRole): boolean {
    const policy = this.ownPolicyOf(actor);
    if (policy === null) return true;
    const stated = (role: WorldRole | null) => (role?.isActive ? role.keyPolicy : null);
    const creates = (role: WorldRole | null) =>
      role?.isActive === true && includes(permissionsOf(role.permissions), 'platform:api-keys:create');
    const isSame = JSON.stringify(stated(before)) === JSON.stringify(stated(after));
    if (isSame && !(creates(after) && !creates(before))) return true;
    return stated(after) !== null && contains(policy, stated(after));
  }

  private boundsUser(actor: Actor, roles: readonly string[]): boolean {
    const policy = this.ownPolicyOf(actor);
    if (policy === null || !includes(this.permissionsOfRoles(roles), 'platform:api-keys:create')) return true;
    return contains(policy, this.widest(roles));
  }

  private widest(roles: readonly string[]): WorldPolicy | null {
    const stated = this.active(roles).flatMap(({ keyPolicy }) => keyPolicy ?? []);
    if (stated.length === 0) return null;
    const reserved = [...new Set(stated.flatMap((policy) => policy.reservedTagPrefixes ?? []))];
    const bounding = stated.filter(
      (policy) => policy.maxRateLimitPerMinute !== undefined || policy.reservedTagPrefixes === undefined,
    );
    const limits = bounding.flatMap((policy) => policy.maxRateLimitPerMinute ?? []);
    return {
      ...(bounding.length > 0 && limits.length === bounding.length
        ? { maxRateLimitPerMinute: Math.max(...limits) }
        : {}),
      ...(reserved.length > 0 ? { reservedTagPrefixes: reserved } : {}),
    };
  }

  private active(roles: readonly string[]): WorldRole[] {
    return roles.map((name) => this.roles.get(name)!).filter(({ isActive }) => isActive);
  }

  private permissionsOfRoles(roles: readonly string[]): Permissions {
    return permissionsOf(this.active(roles).flatMap(({ permissions }) => permissions));
  }

  private permissionsOfUser({ roles }: WorldUser): Permissions {
    return this.permissionsOfRoles(roles);
  }

  private assigned(roles: readonly string[]): Permissions {
    return permissionsOf(roles.flatMap((name) => this.roles.get(name)!.permissions));
  }
}

/** Tags of this beginning are reserved wherever a policy of the experiment reserves any. */
export const RESERVED_PREFIX = 'plan:';

/** Whether a key with these fields lies inside a policy. */
export function isInsidePolicy(
  policy: WorldPolicy | null,
  rateLimitPerMinute: number | null,
  tags: readonly string[],
): boolean {
  const max = policy?.maxRateLimitPerMinute;
  const isRateInside = max === undefined || (rateLimitPerMinute !== null && rateLimitPerMinute <= max);
  return isRateInside && mayWriteTags(policy, tags);
}

export function mayWriteTags(policy: WorldPolicy | null, tags: readonly string[]): boolean {
  return !(policy?.reservedTagPrefixes ?? []).some((prefix) => tags.some((tag) => tag.startsWith(prefix)));
}

function contains(outer: WorldPolicy, inner: WorldPolicy | null): boolean {
  const { maxRateLimitPerMinute: max, reservedTagPrefixes: reserved = [] } = outer;
  const innerMax = inner?.maxRateLimitPerMinute;
  return (
    (max === undefined || (innerMax !== undefined && innerMax <= max)) &&
    reserved.every((prefix) => inner?.reservedTagPrefixes?.includes(prefix))
  );
}
