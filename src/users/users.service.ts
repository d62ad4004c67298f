import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { lockAdministration } from '../access/administration-lock.js';
import type { KnownCaller } from '../access/caller.js';
import { bindPassword } from '../access/credential-binding.js';
import type { UserGrants } from '../access/grants.reader.js';
import { OWNER_DEACTIVATED, endHandOvers } from '../api-keys/hand-over/hand-over-endings.js';
import { Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { type FieldError, validationFailed } from '../common/domain-error.js';
import { inTurn } from '../common/in-turn.js';
import { ListCursors } from '../common/list-cursors.js';
import { pageMeta, pageOf } from '../common/page-query.dto.js';
import { uuidv7 } from '../common/uuid.js';
import { requireVersion } from '../common/version.js';
import { Config, type VersionedKey } from '../config/config.js';
import { auditedUser } from './audited-user.js';
import { hashPassword, isSameAsEmail } from './password.js';
import { PasswordRules } from './password-rules.js';
import { Sessions } from './sessions.service.js';
import { UserChangeRules } from './user-change-rules.js';
import type { CreateUserDto, UpdateUserDto, UsersQueryDto } from './user.dto.js';
import { User } from './user.entity.js';
import { emailTaken, unfitPassword, userNotFound } from './user.errors.js';
import { UserView, type UsersPageView } from './user.view.js';
import { UsersRepository, type UserWithRoles, isEmailTaken } from './users.repository.js';

/**
 * People and service accounts. A caller who changes another must hold everything that one may do, before and after;
 * who is deactivated or loses roles notices it on their next request.
 */
@Injectable()
export class UsersService {
  constructor(
    private readonly users: UsersRepository,
    private readonly sessions: Sessions,
    private readonly admission: UserChangeRules,
    private readonly passwordRules: PasswordRules,
    private readonly changes: Changes,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly cursors: ListCursors,
  ) {}

  /** A page of users, newest first. */
  async list(query: UsersQueryDto): Promise<UsersPageView> {
    const { page: _page, size: _size, cursor: _cursor, ...filter } = query;
    const start = pageOf(query);
    const { size, offset, cursor } = start;
    const list = { list: 'users', ...filter };
    const [behind] = cursor === null ? [] : this.cursors.read(list, cursor);
    const [found, count] = await Promise.all([
      this.users.findPage(filter, offset, size + 1, behind),
      this.users.count(filter),
    ]);
    const data = found.slice(0, size).map((each) => UserView.from(each));
    const next = found.length > size ? [data.at(-1)!.id] : null;
    return { data, meta: pageMeta(start, count, this.cursors.give(list, next)) };
  }

  /** @throws DomainError 404 */
  async get(id: string): Promise<UserView> {
    const found = await this.users.findById(id);
    if (!found) throw userNotFound();
    return UserView.from(found);
  }

  /** @throws DomainError 400; 403 CANNOT_GRANT, OUTSIDE_POLICY; 409 EMAIL_TAKEN */
  async create(caller: KnownCaller, input: CreateUserDto): Promise<UserView> {
    requireConsistent(input);
    await this.requireFitPassword(input);
    // Hashing takes its time; no lock waits for it.
    const passwordHash = input.password === undefined ? null : await hashPassword(input.password);
    const { peppers } = this.config;
    const created = this.changes.transaction(caller, async ({ tx, record, write, lastly }) => {
      const { managerIds = [], roles = [] } = input;
      const { rights, holders } = await this.admission.lockRights(tx, caller, 'platform:users:create', managerIds);
      this.admission.requireManagers(managerIds, holders);
      await this.admission.requireRoles(tx, roles);
      const user = userFrom(input, peppers, passwordHash, this.clock.now());
      write(this.users.in(tx).insert(user, roles, managerIds));
      const checked = this.admission.requireHoldingAllAfter(tx, rights, user.id, null);
      const [, found] = await lastly(inTurn([checked, this.require(tx, user.id)]));
      record({ resourceType: 'user', resourceId: user.id, changes: diff(null, auditedUser(found)) });
      return UserView.from(found);
    });
    return created.catch(asEmailTaken);
  }

  /** @throws DomainError 400; 403 CANNOT_GRANT, OUTSIDE_POLICY; 404; 409 EMAIL_TAKEN, LAST_ADMIN */
  async update(caller: KnownCaller, id: string, input: UpdateUserDto): Promise<UserView> {
    const updated = this.changes.transaction(caller, async (change) => {
      const { tx, record, write, lastly } = change;
      if (input.isActive === false) await lockAdministration(tx);
      const locks = new Map((input.managerIds ?? []).map((managerId) => [managerId, 'share' as const]));
      const { target, holders } = isUpkeep(input)
        ? await this.admission.lockForUpkeep(tx, caller, 'platform:users:update', id, locks)
        : await this.admission.lockParties(tx, caller, 'platform:users:update', id, locks);
      requireApplicable(target, input);
      if (input.managerIds) this.admission.requireManagers(input.managerIds, holders);
      const ended =
        input.isActive === false ? endHandOvers(change, { kind: 'owner', ownerId: id }, OWNER_DEACTIVATED) : null;
      const [, before] = await inTurn([ended, this.require(tx, id)]);
      requireVersion(caller, 'user', id, auditedUser(before));
      write(this.users.in(tx).update(changedUser(before.user, input, this.clock.now()), input.managerIds ?? null));
      if (input.isActive === false) write(this.sessions.in(tx).closeAllOf(id));
      const checked = input.isActive === false ? this.admission.requireAdminRemains(tx, target) : null;
      const [, after] = await lastly(inTurn([checked, this.require(tx, id)]));
      const changes = diff(auditedUser(before), auditedUser(after));
      if (changes.length > 0) record({ resourceType: 'user', resourceId: id, changes });
      return UserView.from(after);
    });
    return updated.catch(asEmailTaken);
  }

  /**
   * Replaces a user's roles. @throws DomainError 400; 403 CANNOT_GRANT, OUTSIDE_POLICY, PERMISSION_DENIED; 404; 409
   * LAST_ADMIN
   */
  async setRoles(caller: KnownCaller, id: string, roles: readonly string[]): Promise<UserView> {
    return this.changes.transaction(caller, async ({ tx, record, write, lastly }) => {
      await lockAdministration(tx);
      const { rights, target } = await this.admission.lockParties(tx, caller, 'platform:users:update', id);
      const [, before] = await inTurn([this.admission.requireRoles(tx, roles), this.require(tx, id)]);
      requireVersion(caller, 'user', id, auditedUser(before));
      write(this.users.in(tx).setRoles(id, roles));
      const [, , after] = await lastly(
        inTurn([
          this.admission.requireHoldingAllAfter(tx, rights, id, target),
          this.admission.requireAdminRemains(tx, target),
          this.require(tx, id),
        ]),
      );
      const changes = diff(auditedUser(before), auditedUser(after));
      if (changes.length > 0) record({ resourceType: 'user', resourceId: id, changes });
      return UserView.from(after);
    });
  }

  private async requireFitPassword({ password, email, name }: CreateUserDto): Promise<void> {
    if (password === undefined) return;
    const problem = await this.passwordRules.problem(password, { email: email ?? null, name });
    if (problem !== null) throw unfitPassword(problem);
  }

  private async require(tx: EntityManager, id: string): Promise<UserWithRoles> {
    const found = await this.users.in(tx).findById(id);
    if (!found) throw userNotFound();
    return found;
  }
}

function asEmailTaken(error: unknown): never {
  throw isEmailTaken(error) ? emailTaken() : error;
}

/** Whether a change touches only what lets nobody act as the user. */
function isUpkeep({ name: _name, maxActiveKeys: _maxActiveKeys, ...others }: UpdateUserDto): boolean {
  return Object.values(others).every((value) => value === undefined);
}

/** Fields of a new user that contradict each other. */
function requireConsistent(input: CreateUserDto): void {
  const errors: FieldError[] = [];
  const service = input.kind === 'service';
  if (!service && (input.email ?? null) === null) errors.push({ path: 'email', message: 'is required for a person' });
  if (!service && (input.managerIds ?? []).length > 0)
    errors.push({ path: 'managerIds', message: 'only service accounts have managers' });
  if (service && input.password !== undefined)
    errors.push({ path: 'password', message: 'a service account never signs in' });
  if (input.password !== undefined && isSameAsEmail(input.password, input.email))
    errors.push({ path: 'password', message: 'must not be the e-mail address' });
  if (errors.length > 0) throw validationFailed(errors);
}

/** Fields that this user cannot have. */
function requireApplicable(target: UserGrants, input: UpdateUserDto): void {
  const errors: FieldError[] = [];
  if (target.kind === 'person' && input.email === null)
    errors.push({ path: 'email', message: 'is required for a person' });
  if (target.kind === 'person' && (input.managerIds ?? []).length > 0)
    errors.push({ path: 'managerIds', message: 'only service accounts have managers' });
  if (errors.length > 0) throw validationFailed(errors);
}

function userFrom(
  input: CreateUserDto,
  peppers: readonly VersionedKey[],
  passwordHash: string | null,
  now: Date,
): User {
  const id = uuidv7(now.getTime());
  const bound = passwordHash === null ? null : bindPassword(peppers, id, passwordHash);
  return Object.assign(new User(), {
    id,
    email: input.email?.trim() ?? null,
    name: input.name.trim(),
    kind: input.kind ?? 'person',
    passwordHash,
    passwordIsTemporary: passwordHash !== null,
    passwordBinding: bound?.binding.mac ?? null,
    passwordBindingVersion: bound?.binding.version ?? null,
    isActive: input.isActive ?? true,
    maxActiveKeys: input.maxActiveKeys ?? null,
    createdAt: now,
    updatedAt: now,
  });
}

function changedUser(user: User, input: UpdateUserDto, now: Date): User {
  return Object.assign(new User(), user, {
    email: input.email === undefined ? user.email : (input.email?.trim() ?? null),
    name: input.name?.trim() ?? user.name,
    isActive: input.isActive ?? user.isActive,
    maxActiveKeys: input.maxActiveKeys === undefined ? user.maxActiveKeys : input.maxActiveKeys,
    updatedAt: now,
  });
}
