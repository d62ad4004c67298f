import { Injectable } from '@nestjs/common';
import { lockAdministration } from '../access/administration-lock.js';
import { type Caller, Principal } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { uuidv7 } from '../common/uuid.js';
import { auditedUser } from './audited-user.js';
import { UserChangeRules } from './user-change-rules.js';
import { User } from './user.entity.js';
import { UsersRepository, type UserWithRoles } from './users.repository.js';

/** What a verified token of the identity provider says about its bearer. */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
  readonly email: string | null;
  /** Whether the provider says that the address is the bearer's. */
  readonly isEmailVerified: boolean;
  readonly name: string;
  /** Roles the mapped claim gives; those that do not exist here are ignored. */
  readonly roles: readonly string[];
  /** `iat`, in seconds. */
  readonly issuedAt: number;
}

/**
 * Users of the identity provider, known by issuer and subject alone: an e-mail address is a claim anybody may make.
 * They come into being when they are first seen. Their roles follow the claim when a newer token changes it; roles
 * given here by hand stay. A deleted user stays deleted: their identity is refused.
 */
@Injectable()
export class Identities {
  constructor(
    private readonly users: UsersRepository,
    private readonly grants: GrantsReader,
    private readonly admission: UserChangeRules,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /** The id of the identity's user, made or brought up to date, or null when the user is inactive or deleted. */
  async admit(caller: Caller, identity: Identity): Promise<string | null> {
    const known = await this.users.findByIdentity(identity.issuer, identity.subject);
    const user = known ?? (await this.provision(caller, identity));
    if (!user || user.deletedAt !== null || !user.isActive) return null;
    if (Number(user.oidcIssuedAt ?? 0) < identity.issuedAt) await this.follow(caller, user.id, identity);
    return user.id;
  }

  /** Two first requests at once make one user: the second finds the first's. */
  private async provision(caller: Caller, identity: Identity): Promise<User | null> {
    const user = userFrom(identity, this.clock.now());
    await this.changes.transaction(as(caller, user.id, user.name), async ({ tx, record }) => {
      const users = this.users.in(tx);
      const roles = await users.existingRoles(identity.roles);
      if (!(await users.insertIdentity(Object.assign(user, { oidcRoles: roles })))) return;
      await users.setRoles(user.id, roles);
      const found = await users.findById(user.id);
      const { issuer, subject, isEmailVerified } = identity;
      record({
        action: 'users:create',
        resourceType: 'user',
        resourceId: user.id,
        changes: diff(null, auditedUser(found!)),
        details: { issuer, subject, isEmailVerified },
      });
    });
    return this.users.findByIdentity(identity.issuer, identity.subject);
  }

  /** A newer token was seen: its claim counts from now on. */
  private async follow(caller: Caller, id: string, identity: Identity): Promise<void> {
    await this.changes.transaction(as(caller, id, identity.name), async (change) => {
      const { tx } = change;
      await lockAdministration(tx);
      const holder = await this.grants.in(tx).findHolder(id, 'update');
      const user = await this.users.in(tx).findByIdentity(identity.issuer, identity.subject);
      if (!holder || !user || Number(user.oidcIssuedAt ?? 0) >= identity.issuedAt) return;
      const claimed = await this.users.in(tx).existingRoles(identity.roles);
      const before = (await this.users.in(tx).findById(id))!;
      await this.users.in(tx).setRoles(id, followed(before.roles, user.oidcRoles ?? [], claimed));
      const kept = await this.keepLastAdmin(change, before, claimed);
      await this.users.in(tx).noteIdentity(id, identity, kept ? [...claimed, 'admin'] : claimed);
      const after = (await this.users.in(tx).findById(id))!;
      const changes = diff(auditedUser(before), auditedUser(after));
      if (changes.length > 0)
        change.record({
          action: 'users:update',
          resourceType: 'user',
          resourceId: id,
          changes,
          details: { by: 'identity-provider' },
        });
    });
  }

  /**
   * The provider may take the role of the last admin, and no user could give it any more. The last admin keeps
   * it, still counted as claimed, so that the next token tries again: as soon as there is another admin it is gone.
   */
  private async keepLastAdmin({ tx }: Change, before: UserWithRoles, claimed: readonly string[]): Promise<boolean> {
    if (!before.roles.includes('admin') || claimed.includes('admin') || (await this.admission.adminRemains(tx)))
      return false;
    const now = await this.users.in(tx).findById(before.user.id);
    await this.users.in(tx).setRoles(before.user.id, [...(now?.roles ?? []), 'admin']);
    return true;
  }
}

/** Roles given by hand stay; of those the claim gave last, the ones it gives now. */
function followed(roles: readonly string[], claimedBefore: readonly string[], claimedNow: readonly string[]): string[] {
  const gone = claimedBefore.filter((role) => !claimedNow.includes(role));
  const fresh = claimedNow.filter((role) => !claimedBefore.includes(role));
  return [...new Set([...roles.filter((role) => !gone.includes(role)), ...fresh])];
}

/** The identity acts for itself. */
function as(caller: Caller, userId: string, name: string): Caller {
  return { ...caller, principal: new Principal('user', userId, userId, name, [], []) };
}

function userFrom(identity: Identity, now: Date): User {
  return Object.assign(new User(), {
    id: uuidv7(now.getTime()),
    email: identity.email,
    isEmailVerified: identity.isEmailVerified,
    name: identity.name,
    oidcIssuer: identity.issuer,
    oidcSubject: identity.subject,
    oidcIssuedAt: String(identity.issuedAt),
    createdAt: now,
  });
}
