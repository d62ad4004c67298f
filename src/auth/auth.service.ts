import { Injectable } from '@nestjs/common';
import type { Caller, KnownCaller } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { widest } from '../access/key-policy.js';
import { unauthenticated } from '../access/access.errors.js';
import { type Change, Changes } from '../audit/changes.js';
import { DomainError } from '../common/domain-error.js';
import { inTurn } from '../common/in-turn.js';
import { Config } from '../config/config.js';
import { Accounts } from '../users/accounts.service.js';
import { Identities, type Identity } from '../users/identities.service.js';
import { Sessions } from '../users/sessions.service.js';
import type { MeView, SessionView } from './auth.view.js';
import { SessionTokens } from './session-tokens.js';

/** What a sign-in is called in the trail, whichever way it came. */
const LOGIN = 'auth:login';

/** Signing in and out. */
@Injectable()
export class AuthService {
  constructor(
    private readonly accounts: Accounts,
    private readonly identities: Identities,
    private readonly sessions: Sessions,
    private readonly tokens: SessionTokens,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {}

  /**
   * Opens a session. The answer to a wrong password, an unknown address and a disabled account is the same,
   * and takes the same time.
   *
   * @throws DomainError 401, MFA_REQUIRED and MFA_CODE_REFUSED among them; 429 TOO_MANY_REQUESTS
   */
  async login(caller: Caller, email: string, password: string, code?: string): Promise<SessionView> {
    const account = await this.accounts.prove(email, password, code, caller.ip);
    if (account === null) throw signInFailed();
    return this.changes.transaction(caller, async (change) => {
      if (!(await this.accounts.enter(change.tx, account))) throw signInFailed();
      return this.open(change, account.id, account.code === null ? {} : { secondFactor: account.code.kind });
    });
  }

  /**
   * Opens a session for somebody the identity provider has just vouched for; his user is made on first sight. null when
   * that is disabled or deleted. The session is like any other from then on: disabling ends it, and his rights are looked
   * up anew on each request.
   */
  async loginByIdentity(caller: Caller, identity: Identity): Promise<SessionView | null> {
    const userId = await this.identities.admit(caller, identity);
    if (userId === null) return null;
    return this.changes.transaction(caller, async (change) => {
      if (!(await this.accounts.enterByIdentity(change.tx, userId))) return null;
      return this.open(change, userId, { issuer: identity.issuer });
    });
  }

  /** For a user whose row is locked. */
  private async open({ tx, record, lastly }: Change, userId: string, details: Readonly<Record<string, string>> = {}): Promise<SessionView> {
    const [session, user] = await lastly(
      inTurn([this.sessions.in(tx).open(userId, this.config.sessionTtlSeconds), this.accounts.findView(userId, tx)]),
    );
    if (user === null) throw signInFailed();
    record({ action: LOGIN, resourceType: 'user', resourceId: userId, details: { sessionId: session.id, ...details } });
    return { accessToken: this.tokens.sign(userId, session.id, session.expiresAt), expiresAt: session.expiresAt, user };
  }

  /** Ends the caller's session; a token of it is worthless from then on. */
  async logout(caller: KnownCaller): Promise<void> {
    const { sessionId, id } = caller.principal;
    if (sessionId === null) return;
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await this.sessions.in(tx).close(sessionId);
      record({ resourceType: 'user', resourceId: id, details: { sessionId } });
    });
  }

  /** Who the caller is, and what he may do right now. */
  async me(caller: KnownCaller): Promise<MeView> {
    const { principal } = caller;
    const user = await this.accounts.findView(principal.ownerId);
    const holder = await this.grants.findHolder(principal.ownerId);
    if (!user || !holder) throw unauthenticated(true);
    return {
      user,
      kind: principal.kind,
      roles: [...principal.roles],
      permissions: [...principal.grants],
      keyPolicy: widest(holder.policies),
      mustEnrol: principal.mustEnrol,
    };
  }
}

function signInFailed(): DomainError {
  return new DomainError('unauthenticated', 'UNAUTHENTICATED', 'E-mail or password is wrong.');
}
