import { Injectable } from '@nestjs/common';
import type { Caller, KnownCaller, Principal } from '../access/caller.js';
import { GrantsReader, type UserGrants, keyPolicyOf } from '../access/grants.reader.js';
import { type KeyPolicy, widest } from '../access/key-policy.js';
import { unauthenticated } from '../access/access.errors.js';
import { type Change, Changes } from '../audit/changes.js';
import { DomainError } from '../common/domain-error.js';
import { inTurn } from '../common/in-turn.js';
import { Config } from '../config/config.js';
import { AccountNotices } from '../users/account-notices.service.js';
import { Accounts, type LoginCredentials } from '../users/accounts.service.js';
import { Identities, type Identity } from '../users/identities.service.js';
import { ProjectMembers } from '../projects/project-members.service.js';
import { Sessions } from '../users/sessions.service.js';
import { deviceOf } from '../users/user-agent.js';
import type { MeView, SessionView } from './auth.view.js';
import { OwnKeyReader } from './own-key.reader.js';
import { LOGIN } from '../users/sign-in-failures.js';
import type { KnownDevices } from './device-cookie.js';
import { SessionTokens } from './session-tokens.js';

/** A session just opened, before its person is told anything. */
type OpenedSession = Omit<SessionView, 'notices'>;

/** Signing in and out. */
@Injectable()
export class AuthService {
  constructor(
    private readonly accounts: Accounts,
    private readonly notices: AccountNotices,
    private readonly identities: Identities,
    private readonly sessions: Sessions,
    private readonly tokens: SessionTokens,
    private readonly grants: GrantsReader,
    private readonly ownKeys: OwnKeyReader,
    private readonly members: ProjectMembers,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {}

  /**
   * Opens a session. The answer to a wrong password, an unknown address and an inactive account is the same,
   * and takes the same time.
   *
   * @throws DomainError 401, MFA_REQUIRED and MFA_CODE_REFUSED among them; 429 TOO_MANY_REQUESTS
   */
  async login(caller: Caller, credentials: LoginCredentials, devices: KnownDevices): Promise<SessionView> {
    const account = await this.accounts.prove(caller, credentials, devices);
    if (account === null) throw signInFailed();
    const session = await this.changes.transaction(caller, async (change) => {
      if (!(await this.accounts.enter(change.tx, account))) throw signInFailed();
      const details: Readonly<Record<string, string>> =
        account.code === null ? {} : { secondFactor: account.code.kind };
      return this.open(caller, change, account.id, account.hasTemporaryPassword, details);
    });
    return this.withNotices(session);
  }

  /**
   * Opens a session for a person whom the identity provider has just authenticated; the user is made on first sight.
   * null when that is inactive or deleted. The session is like any other from then on: deactivating the user ends it,
   * and rights are looked up anew on each request.
   */
  async loginByIdentity(caller: Caller, identity: Identity): Promise<SessionView | null> {
    const userId = await this.identities.admit(caller, identity);
    if (userId === null) return null;
    const session = await this.changes.transaction(caller, async (change) => {
      if (!(await this.accounts.enterByIdentity(change.tx, userId))) return null;
      return this.open(caller, change, userId, false, { issuer: identity.issuer });
    });
    return session && this.withNotices(session);
  }

  private async withNotices(session: OpenedSession): Promise<SessionView> {
    return { ...session, notices: await this.notices.findAtSignIn(session.user.id) };
  }

  /** For a user whose row is locked. */
  private async open(
    caller: Caller,
    { tx, record, lastly }: Change,
    userId: string,
    mustChangePassword: boolean,
    details: Readonly<Record<string, string>> = {},
  ): Promise<OpenedSession> {
    const { sessionTtlSeconds, sessionIdleSeconds } = this.config;
    const origin = { ip: caller.ip, device: deviceOf(caller.userAgent) };
    const [session, user] = await lastly(
      inTurn([
        this.sessions.in(tx).open(userId, sessionTtlSeconds, sessionIdleSeconds, origin),
        this.accounts.findView(userId, tx),
      ]),
    );
    if (user === null) throw signInFailed();
    record({ action: LOGIN, resourceType: 'user', resourceId: userId, details: { sessionId: session.id, ...details } });
    return {
      accessToken: this.tokens.sign(userId, session.id, session.expiresAt),
      expiresAt: session.expiresAt,
      user,
      mustChangePassword,
    };
  }

  /** Ends the caller's session; a token of it is worthless from then on. */
  async logout(caller: KnownCaller): Promise<void> {
    const { sessionId, id } = caller.principal;
    if (sessionId === null) return;
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await this.sessions.in(tx).close(sessionId, id);
      record({ resourceType: 'user', resourceId: id, details: { sessionId } });
    });
  }

  /** Who the caller is, and what it may do right now. A key learns of itself, and of its owner the id alone. */
  async me(caller: KnownCaller): Promise<MeView> {
    const { principal } = caller;
    const { id, ownerId, signedInUserId } = principal;
    const isKey = signedInUserId === null;
    const [user, key, holder, notices, projects] = await Promise.all([
      isKey ? null : this.accounts.findView(ownerId),
      isKey ? this.ownKeys.find(id) : null,
      this.grants.findHolder(ownerId),
      isKey ? null : this.notices.find(signedInUserId),
      isKey ? [] : this.members.membershipsOf(signedInUserId),
    ]);
    if ((user === null && key === null) || !holder) throw unauthenticated(true);
    return {
      user,
      key,
      kind: principal.kind,
      roles: [...principal.roles],
      permissions: [...principal.grants],
      keyPolicy: isKey && !makesKeys(principal) ? null : policyOf(principal, holder),
      projects,
      mustChangePassword: principal.mustChangePassword,
      notices,
      mustEnrol: principal.mustEnrol,
    };
  }
}

function makesKeys(principal: Principal): boolean {
  return principal.may('platform:api-keys:create') || principal.may('platform:api-keys:update');
}

function policyOf(principal: Principal, holder: UserGrants): KeyPolicy | null {
  return principal.may('platform:api-keys:update') ? widest(holder.policies) : keyPolicyOf(holder);
}

function signInFailed(): DomainError {
  return new DomainError('unauthenticated', 'UNAUTHENTICATED', 'E-mail or password is wrong.');
}
