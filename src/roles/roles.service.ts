import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { violatedConstraint } from '../common/database-errors.js';
import { Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { validationFailed } from '../common/domain-error.js';
import { ListCursors } from '../common/list-cursors.js';
import { type PageQueryDto, pageMeta, pageOf } from '../common/page-query.dto.js';
import { requireVersion } from '../common/version.js';
import { lockAdministration } from '../access/administration-lock.js';
import { auditedRole } from './audited-role.js';
import { EffectiveRights, effectivePolicy } from '../access/effective-rights.js';
import type { KnownCaller } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import type { KeyPolicy } from '../access/key-policy.js';
import { InvalidKeyPolicyError, parseKeyPolicy } from '../access/key-policy.schema.js';
import { PERMISSIONS, type Permission } from '../access/permissions.js';
import type { CreateRoleDto, UpdateRoleDto } from './role.dto.js';
import { Role } from './role.entity.js';
import { roleImmutable, roleInUse, roleNameTaken, roleNotFound } from './role.errors.js';
import { type PermissionsView, RoleView, type RolesPageView } from './role.view.js';
import { RolesRepository } from './roles.repository.js';

/** What a cursor of the list of roles belongs to. */
const LIST = { list: 'roles' };

/**
 * Roles. The caller who makes or changes one must hold everything it grants, before and after, at the moment of the
 * change; what changes takes effect on the next request of each user who has the role.
 */
@Injectable()
export class RolesService {
  constructor(
    private readonly roles: RolesRepository,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
    private readonly cursors: ListCursors,
  ) {}

  /** A page of roles in order of name. */
  async list(query: PageQueryDto): Promise<RolesPageView> {
    const start = pageOf(query);
    const { size, offset, cursor } = start;
    const [behind] = cursor === null ? [] : this.cursors.read(LIST, cursor);
    const [roles, count] = await Promise.all([this.roles.findPage(offset, size + 1, behind), this.roles.count()]);
    const data = roles.slice(0, size).map((role) => RoleView.from(role));
    const next = roles.length > size ? [data.at(-1)!.name] : null;
    return { data, meta: pageMeta(start, count, this.cursors.give(LIST, next)) };
  }

  /** @throws DomainError 404 */
  async get(name: string): Promise<RoleView> {
    const role = await this.roles.findByName(name);
    if (!role) throw roleNotFound();
    return RoleView.from(role);
  }

  /** The registry of permissions, in its own order. */
  permissions(): PermissionsView {
    return { data: Object.entries(PERMISSIONS).map(([name, description]) => ({ name, description })) };
  }

  /** @throws DomainError 400; 403 CANNOT_GRANT, OUTSIDE_POLICY; 409 ROLE_NAME_TAKEN */
  async create(caller: KnownCaller, input: CreateRoleDto): Promise<RoleView> {
    const keyPolicy = keyPolicyOf(input.keyPolicy) ?? null;
    const created = this.changes.transaction(caller, async ({ tx, record, write }) => {
      const rights = await this.lockRights(tx, caller, 'platform:roles:create');
      const role = newRole(input, keyPolicy, this.clock.now());
      rights.requireHolding(role.permissions);
      rights.requireRoleWithinPolicy(null, role);
      write(this.roles.in(tx).insert(role));
      record({ resourceType: 'role', resourceId: role.name, changes: diff(null, auditedRole(role)) });
      return RoleView.from(role);
    });
    return created.catch((error: unknown) => {
      throw isNameTaken(error) ? roleNameTaken() : error;
    });
  }

  /** @throws DomainError 400; 403 CANNOT_GRANT, OUTSIDE_POLICY, PERMISSION_DENIED; 404; 409 ROLE_IMMUTABLE */
  async update(caller: KnownCaller, name: string, input: UpdateRoleDto): Promise<RoleView> {
    const keyPolicy = keyPolicyOf(input.keyPolicy);
    return this.changes.transaction(caller, async ({ tx, record, write }) => {
      const rights = await this.lockRights(tx, caller, 'platform:roles:update');
      const before = await this.lockChangeable(tx, caller, name);
      const after = changedRole(before, input, keyPolicy, this.clock.now());
      rights.requireHolding([...before.permissions, ...after.permissions]);
      rights.requireRoleWithinPolicy(before, after);
      rights.requireMayLoosenRole(before, after);
      // Of several roles the widest bound counts: one that states a wide bound loosens the others.
      if (!rights.holds('platform:api-keys:update')) {
        for (const beside of await this.roles.in(tx).findPoliciesBeside(name))
          rights.requireMayLoosenUser([...beside, effectivePolicy(before)], [...beside, effectivePolicy(after)]);
      }
      const changes = diff(auditedRole(before), auditedRole(after));
      if (changes.length === 0) return RoleView.from(before);
      write(this.roles.in(tx).update(after));
      record({ resourceType: 'role', resourceId: name, changes });
      return RoleView.from(after);
    });
  }

  /**
   * Deletes a role that nobody carries. @throws DomainError 403 PERMISSION_DENIED; 404; 409 ROLE_IMMUTABLE, ROLE_IN_USE
   */
  async delete(caller: KnownCaller, name: string): Promise<void> {
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const rights = await this.lockRights(tx, caller, 'platform:roles:delete');
      const role = await this.lockChangeable(tx, caller, name);
      rights.requireMayLoosenRole(role, null);
      const { users, keys } = await this.roles.in(tx).countHolders(name);
      if (users + keys > 0) throw roleInUse(users, keys);
      write(this.roles.in(tx).delete(name));
      record({ resourceType: 'role', resourceId: name, changes: diff(auditedRole(role), null) });
    });
  }

  private async lockRights(tx: EntityManager, caller: KnownCaller, permission: Permission): Promise<EffectiveRights> {
    await lockAdministration(tx);
    const reader = this.grants.in(tx);
    const lock = reader.holders(new Map([[caller.principal.ownerId, 'share']]));
    const { rights } = await EffectiveRights.locked(caller.principal, reader, lock);
    rights.requirePermission(permission);
    return rights;
  }

  private async lockChangeable(tx: EntityManager, caller: KnownCaller, name: string): Promise<Role> {
    const role = await this.roles.in(tx).findForUpdate(name);
    if (!role) throw roleNotFound();
    if (role.name === 'admin') throw roleImmutable();
    requireVersion(caller, 'role', name, auditedRole(role));
    return role;
  }
}

/** undefined: not sent. @throws DomainError 400 naming every path that is wrong */
function keyPolicyOf(json: unknown): KeyPolicy | null | undefined {
  if (json === undefined || json === null) return json;
  try {
    return parseKeyPolicy(json);
  } catch (error) {
    if (!(error instanceof InvalidKeyPolicyError)) throw error;
    throw validationFailed(
      error.errors.map((fault) => ({ ...fault, path: fault.path === '' ? 'keyPolicy' : `keyPolicy.${fault.path}` })),
    );
  }
}

function newRole(input: CreateRoleDto, keyPolicy: KeyPolicy | null, now: Date): Role {
  return Object.assign(new Role(), {
    name: input.name,
    description: input.description ?? '',
    permissions: input.permissions ?? [],
    keyPolicy,
    isActive: input.isActive ?? true,
    isSeeded: false,
    createdAt: now,
    updatedAt: now,
  });
}

function changedRole(role: Role, input: UpdateRoleDto, keyPolicy: KeyPolicy | null | undefined, now: Date): Role {
  return Object.assign(new Role(), role, {
    description: input.description ?? role.description,
    permissions: input.permissions ?? role.permissions,
    keyPolicy: keyPolicy === undefined ? role.keyPolicy : keyPolicy,
    isActive: input.isActive ?? role.isActive,
    updatedAt: now,
  });
}

function isNameTaken(error: unknown): boolean {
  return violatedConstraint(error) === 'role_pkey';
}
