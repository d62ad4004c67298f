import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { boundToEnvironment, unauthenticated } from '../../access/access.errors.js';
import { requireHeld } from '../../access/held-grants.js';
import { type KnownCaller, Principal } from '../../access/caller.js';
import {
  type UserGrants,
  type HolderLock,
  GrantsReader,
  grantsOfKey,
  keyPolicyOf,
} from '../../access/grants.reader.js';
import { reservedTags, violations } from '../../access/key-policy.js';
import { inTurn } from '../../common/in-turn.js';
import { Config } from '../../config/config.js';
import { ProjectMembers } from '../../projects/project-members.service.js';
import type { ProjectRole } from '../../projects/project-role.js';
import { apiKeyLimitReached, outsidePolicy, unknownRoles } from '../api-key.errors.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import type { ApiKeyRules } from '../settings/settings.js';
import { loosenedFields } from '../settings/owner-limits.js';

/** Everybody a change concerns, locked, so that what they hold stays so until it commits. */
export interface Parties {
  /** The caller with what the caller holds now, which may be less than when the request came in. */
  readonly caller: KnownCaller;
  /** The user behind the caller: the one signed in, or the owner of the key that calls. */
  readonly actor: UserGrants;
  /** null when there is no such user. */
  readonly owner: UserGrants | null;
  /** The users asked for besides, by id. */
  readonly others: ReadonlyMap<string, UserGrants>;
  /** What the caller is in which projects, by their ids; a key is a member of none. */
  readonly projectRoles: ReadonlyMap<string, ProjectRole>;
}

/** Parties of a key that is to be made, and how many active keys its owner has. */
export interface CountedParties {
  readonly parties: Parties;
  readonly activeKeys: number;
}

/**
 * The three questions asked of every door through which a key comes to life or changes hands: does it grant
 * more than the caller holds, does it lie inside the caller's key policy, has the owner room for it. All are
 * answered inside the change, on locked rows.
 */
@Injectable()
export class KeyCreationRules {
  constructor(
    private readonly grants: GrantsReader,
    private readonly keys: ApiKeysRepository,
    private readonly members: ProjectMembers,
    private readonly config: Config,
  ) {}

  /**
   * Locks caller, owner and `others`. An owner's lock orders everything that counts against the cap.
   *
   * @throws DomainError 401 when the caller has been deactivated since the request came in
   */
  async lockParties(
    tx: EntityManager,
    caller: KnownCaller,
    ownerId: string,
    others: readonly string[] = [],
  ): Promise<Parties> {
    const actorId = caller.principal.ownerId;
    const wanted = new Map<string, HolderLock>([[actorId, 'share']]);
    for (const id of [ownerId, ...others]) wanted.set(id, 'update');
    const [holders, acting, projectRoles] = await Promise.all([
      this.grants.in(tx).holders(wanted),
      this.actingRoles(tx, caller.principal),
      this.members.lockRoles(tx, caller.principal),
    ]);
    const actor = holders.get(actorId);
    if (!actor?.isActive) throw unauthenticated(true);
    return {
      caller: { ...caller, principal: principalNow(caller.principal, actor, acting) },
      actor,
      owner: holders.get(ownerId) ?? null,
      others: holders,
      projectRoles,
    };
  }

  /**
   * As `lockParties`, and how many active keys the owner has, in the same round trip. The count is sent behind the
   * locks, so that it has what they waited for; it holds until this change makes a key.
   */
  async lockAndCount(tx: EntityManager, caller: KnownCaller, ownerId: string): Promise<CountedParties> {
    const [parties, activeKeys] = await inTurn([
      this.lockParties(tx, caller, ownerId),
      this.keys.in(tx).countActiveOf(ownerId),
    ]);
    return { parties, activeKeys };
  }

  /**
   * No caller hands out more than the caller holds: what the key may do must be covered by what the caller holds now.
   *
   * @throws DomainError 400 for roles that do not exist, 403 CANNOT_GRANT
   */
  async requireGrantable(
    tx: EntityManager,
    caller: KnownCaller,
    owner: UserGrants,
    roles: readonly string[],
  ): Promise<void> {
    const { known, grants } = await this.grants.in(tx).grantsOfRoles(roles, 'share');
    requireAllKnown(roles, known);
    this.requireHeld(caller, grantsOfKey(grants, owner.grants));
  }

  /** What a key of these roles may do for this owner. The roles stay as they are until the change commits. */
  async grantsUnder(tx: EntityManager, owner: UserGrants, roles: readonly string[]): Promise<string[]> {
    return grantsOfKey((await this.grants.in(tx).grantsOfRoles(roles, 'share')).grants, owner.grants);
  }

  /** @throws DomainError 400 naming the roles that do not exist */
  async requireKnownRoles(tx: EntityManager, roles: readonly string[]): Promise<void> {
    const { known } = await this.grants.in(tx).grantsOfRoles(roles, 'share');
    requireAllKnown(roles, known);
  }

  /**
   * A key that verifies keys of one environment makes no key that verifies others.
   *
   * @throws DomainError 403 CANNOT_GRANT
   */
  requireEnvironment({ principal }: KnownCaller, { verifiesEnvironment }: ApiKeyRules): void {
    const own = principal.verifiesEnvironment;
    if (own !== 'any' && verifiesEnvironment !== own) throw boundToEnvironment(own);
  }

  /** @throws DomainError 403 CANNOT_GRANT naming what of `wanted` the caller does not hold */
  requireHeld(caller: KnownCaller, wanted: readonly string[]): void {
    requireHeld(caller.principal.grants, wanted);
  }

  /**
   * Keys made without `platform:api-keys:update` lie inside the key policy of the caller's roles. Of a change (`before`
   * given), only what it loosens can leave the policy, and more tokens that calls hold unasked: a key that lies outside
   * already, because an admin made it or the policy is newer, can still be narrowed, renamed and rotated by its owner.
   * Of its tags, those that come or go are judged.
   *
   * @throws DomainError 403 OUTSIDE_POLICY with every offending path
   */
  requireInsidePolicy(
    { caller, actor }: Pick<Parties, 'caller' | 'actor'>,
    rules: ApiKeyRules,
    now: Date,
    before?: ApiKeyRules,
  ): void {
    if (caller.principal.may('platform:api-keys:update')) return;
    const policy = keyPolicyOf(actor);
    const all = violations(policy, rules, now);
    const judged = before && judgedFields(before, rules);
    const offending =
      before && judged
        ? [
            ...all.filter(({ path }) => judged.includes(path)),
            ...reservedTags(policy, changed(before.tags, rules.tags)),
          ]
        : all;
    if (offending.length > 0) throw outsidePolicy(offending);
  }

  /**
   * Keys of people whose policy says so are in a project: when they are made, and when they leave one.
   *
   * @throws DomainError 403 OUTSIDE_POLICY
   */
  requireInProject({ caller, actor }: Pick<Parties, 'caller' | 'actor'>, projectId: string | null): void {
    if (projectId !== null || caller.principal.may('platform:api-keys:update')) return;
    if (keyPolicyOf(actor)?.mustBelongToProject !== true) return;
    throw outsidePolicy([{ path: 'projectId', message: 'must name a project of which you are a member' }]);
  }

  /**
   * Room for one more active key. Call it with the owner locked, before the key becomes active.
   *
   * @param keyId the key itself, when it exists already
   * @throws DomainError 429 API_KEY_LIMIT_REACHED naming the cap
   */
  async requireRoom(tx: EntityManager, owner: UserGrants, keyId: string | null = null): Promise<void> {
    this.requireRoomBeside(await this.keys.in(tx).countActiveOf(owner.id, keyId), owner);
  }

  /** As `requireRoom`, where the owner's other active keys have been counted, with the owner locked. */
  requireRoomBeside(activeKeys: number, owner: UserGrants): void {
    const cap = owner.maxActiveKeys ?? this.config.maxActiveKeys;
    if (activeKeys >= cap) throw apiKeyLimitReached(cap);
  }

  /** What a key that calls may do now; null for a person, and for a key that acts no more. */
  private async actingRoles(tx: EntityManager, { kind, id }: Principal): Promise<ActingRoles> {
    return kind === 'user' ? null : this.keys.in(tx).findActingRoles(id);
  }
}

type ActingRoles = { readonly roles: string[]; readonly grants: string[] } | null;

/** A change of roles that committed while this request waited counts; one that comes after must wait for us. */
function principalNow(principal: Principal, actor: UserGrants, acting: ActingRoles): Principal {
  if (principal.kind === 'user') {
    return new Principal('user', actor.id, actor.id, actor.name, actor.roles, actor.grants, principal.sessionId);
  }
  if (acting === null) throw unauthenticated(true);
  return new Principal(
    'key',
    principal.id,
    actor.id,
    principal.name,
    acting.roles,
    grantsOfKey(acting.grants, actor.grants),
    null,
    false,
    false,
    principal.verifiesEnvironment,
  );
}

/** What of a change can leave a policy: what it loosens, and tokens of shared limits that calls hold from now on. */
function judgedFields(before: ApiKeyRules, after: ApiKeyRules): string[] {
  const holdsMore = (after.defaultReserveTokens ?? 0) > (before.defaultReserveTokens ?? 0);
  return [...loosenedFields(before, after), ...(holdsMore ? ['defaultReserveTokens'] : [])];
}

/** The entries that only one of two lists has. */
function changed(before: readonly string[], after: readonly string[]): string[] {
  return [...before.filter((tag) => !after.includes(tag)), ...after.filter((tag) => !before.includes(tag))];
}

/** @throws DomainError 400 naming the roles that do not exist */
function requireAllKnown(roles: readonly string[], known: readonly string[]): void {
  const unknown = roles.filter((role) => !known.includes(role));
  if (unknown.length > 0) throw unknownRoles(unknown);
}
