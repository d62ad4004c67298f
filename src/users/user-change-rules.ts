import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EffectiveRights } from '../access/effective-rights.js';
import { actsForKeyOwner } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { GrantsReader, type UserGrants, type HolderLock } from '../access/grants.reader.js';
import { covers } from '../access/permission-grammar.js';
import type { Permission } from '../access/permissions.js';
import { type Ownership, owns } from '../access/access-basis.js';
import { KeyOwners } from '../api-keys/key-owners.js';
import { inTurn } from '../common/in-turn.js';
import { validationFailed } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { lastAdmin, unknownRoles, userNotFound } from './user.errors.js';
import { UsersRepository } from './users.repository.js';

/** Permits what an owner can do with the keys. */
const TAKE_KEYS = 'platform:api-keys:update';

const EVERYTHING = ['*'];

/** The caller and the user a change is about, both locked until it commits. */
export interface LockedUsers {
  readonly rights: EffectiveRights;
  readonly target: UserGrants;
  /** All that were locked, by id; the caller's own user included. */
  readonly holders: ReadonlyMap<string, UserGrants>;
}

/**
 * The questions asked by every route through which a user is changed: may the caller still do this, does the caller
 * hold everything that user may do (before, and after), and does an admin remain. All are answered on locked rows.
 */
@Injectable()
export class UserChangeRules {
  constructor(
    private readonly grants: GrantsReader,
    private readonly users: UsersRepository,
    private readonly keyOwners: KeyOwners,
    private readonly config: Config,
  ) {}

  /** Locks the caller, and `shared` users besides. @throws DomainError 401, 403 PERMISSION_DENIED */
  async lockRights(
    tx: EntityManager,
    caller: KnownCaller,
    permission: Permission,
    shared: readonly string[] = [],
  ): Promise<{ rights: EffectiveRights; holders: ReadonlyMap<string, UserGrants> }> {
    return this.lock(tx, caller, permission, new Map(shared.map((id) => [id, 'share'])));
  }

  /**
   * Locks the caller and the user who is to change, for a change after which the caller may be able to act as that
   * user: a password, an address, roles, a state, a manager, a second factor, an end. So the caller must be able to do
   * everything the user can.
   *
   * @throws DomainError 401; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404
   */
  async lockParties(
    tx: EntityManager,
    caller: KnownCaller,
    permission: Permission,
    targetId: string,
    locks: ReadonlyMap<string, HolderLock> = new Map(),
  ): Promise<LockedUsers> {
    const { signedInUserId } = caller.principal;
    // In one round trip, the locks first.
    const [parties, owners, isAdministering] = await inTurn([
      this.lockForUpkeep(tx, caller, permission, targetId, locks),
      this.keyOwners.actedForBy(tx, targetId),
      this.keyOwners.isActedForInProjectBy(tx, targetId, signedInUserId),
    ]);
    // As an admin of a project the user gets no secret of a key that may do more than the user.
    if (isAdministering && !parties.rights.holds(TAKE_KEYS)) throw actsForKeyOwner(TAKE_KEYS);
    await this.requireMayActAs(tx, caller, parties, owners);
    return parties;
  }

  /**
   * As `lockParties`, for a change that lets nobody act as the user: their name, their cap on keys.
   *
   * @throws DomainError 401; 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY; 404
   */
  async lockForUpkeep(
    tx: EntityManager,
    caller: KnownCaller,
    permission: Permission,
    targetId: string,
    locks: ReadonlyMap<string, HolderLock> = new Map(),
  ): Promise<LockedUsers> {
    const { rights, holders } = await this.lock(
      tx,
      caller,
      permission,
      new Map([...locks, [targetId, 'update' as const]]),
    );
    const target = holders.get(targetId);
    if (!target) throw userNotFound();
    requireHoldingAllOf(rights, target);
    return { rights, target, holders };
  }

  /**
   * Who acts as an owner of keys can regenerate each of them, whatever it is for in the platform's services. That is
   * what `platform:api-keys:update` permits, so the caller needs it, and every grant of service accounts reached
   * through the user. Keys that the caller owns, or manages, give nothing new.
   */
  private async requireMayActAs(
    tx: EntityManager,
    caller: KnownCaller,
    { rights, target }: LockedUsers,
    owners: readonly Ownership[],
  ): Promise<void> {
    const foreign = owners.filter((owner) => !owns(caller.principal, owner));
    if (foreign.length === 0) return;
    if (!rights.holds(TAKE_KEYS)) throw actsForKeyOwner(TAKE_KEYS);
    const services = foreign.map(({ ownerId }) => ownerId).filter((id) => id !== target.id);
    if (services.length === 0) return;
    const holders = await this.grants.in(tx).holders(new Map(services.map((id) => [id, 'share' as const])));
    for (const service of holders.values()) rights.requireHolding(service.assignedGrants);
  }

  /**
   * As `requireHoldingAllOf`, for the user as this very change leaves them. A bound on the keys that the user makes
   * goes only with `platform:api-keys:update`.
   *
   * @param before the user before the change; null: there was none
   * @throws DomainError 403 PERMISSION_DENIED, CANNOT_GRANT, OUTSIDE_POLICY
   */
  async requireHoldingAllAfter(
    tx: EntityManager,
    rights: EffectiveRights,
    id: string,
    before: UserGrants | null,
  ): Promise<void> {
    const after = await this.grants.in(tx).findHolder(id);
    if (!after) return;
    requireHoldingAllOf(rights, after);
    if (before !== null && covers(after.grants, 'platform:api-keys:create'))
      rights.requireMayLoosenUser(before.policies, after.policies);
  }

  /**
   * For a user who was deleted: the caller holds all that the roles permit which the user had then. Where that is not
   * known any more, because the trail or one of the roles is gone, the caller must hold everything.
   *
   * @throws DomainError 403 CANNOT_GRANT
   */
  async requireHoldingAllOfDeleted(tx: EntityManager, rights: EffectiveRights, id: string): Promise<void> {
    const roles = await this.users.in(tx).findRolesAtDeletion(id);
    const { known, assigned } = await this.grants.in(tx).grantsOfRoles(roles ?? [], 'share');
    rights.requireHolding(roles !== null && known.length === roles.length ? assigned : EVERYTHING);
  }

  /** The names, all of which exist and cannot be deleted until commit. @throws DomainError 400 */
  async requireRoles(tx: EntityManager, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const existing = await this.users.in(tx).existingRoles(names);
    const unknown = names.filter((name) => !existing.includes(name));
    if (unknown.length > 0) throw unknownRoles(unknown);
  }

  /** Every id is a person among the locked `holders`. @throws DomainError 400 */
  requireManagers(ids: readonly string[], holders: ReadonlyMap<string, UserGrants>): void {
    const wrong = ids.filter((id) => holders.get(id)?.kind !== 'person');
    if (wrong.length > 0)
      throw validationFailed(wrong.map((id) => ({ path: 'managerIds', message: `there is no person ${id}` })));
  }

  /**
   * After a change of an admin: one admin remains who can sign in. The change holds the
   * administration lock from its start, so that two such changes at once see each other.
   *
   * @throws DomainError 409 LAST_ADMIN
   */
  async requireAdminRemains(tx: EntityManager, before: UserGrants): Promise<void> {
    if (before.isActive && before.roles.includes('admin') && !(await this.adminRemains(tx))) throw lastAdmin();
  }

  /** Whether anybody is left who can sign in and is an admin. */
  async adminRemains(tx: EntityManager): Promise<boolean> {
    return (await this.users.in(tx).countActiveAdmins(this.config.oidc?.issuer ?? null)) > 0;
  }

  private async lock(
    tx: EntityManager,
    caller: KnownCaller,
    permission: Permission,
    locks: ReadonlyMap<string, HolderLock>,
  ) {
    const callerId = caller.principal.ownerId;
    const reader = this.grants.in(tx);
    const lock = reader.holders(new Map([[callerId, 'share' as const], ...locks]));
    const { rights, holders } = await EffectiveRights.locked(caller.principal, reader, lock);
    rights.requirePermission(permission);
    return { rights, holders };
  }
}

/**
 * Nobody gets at the credentials of a user who may do more, inactive roles included: they may be active tomorrow.
 *
 * @throws DomainError 403 CANNOT_GRANT, OUTSIDE_POLICY
 */
function requireHoldingAllOf(rights: EffectiveRights, holder: UserGrants): void {
  rights.requireHolding(holder.assignedGrants);
  rights.requireWithinPolicy(holder);
}
