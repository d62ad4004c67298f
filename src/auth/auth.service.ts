import { Injectable } from '@nestjs/common';
import type { Caller, KnownCaller } from '../access/caller.js';
import { GrantsReader } from '../access/grants.reader.js';
import { widest } from '../access/key-policy.js';
import { unauthenticated } from '../access/access.errors.js';
import { Changes } from '../audit/changes.js';
import { DomainError } from '../common/domain-error.js';
import { Config } from '../config/config.js';
import { Accounts } from '../users/accounts.service.js';
import { Sessions } from '../users/sessions.service.js';
import type { MeView, SessionView } from './auth.view.js';
import { SessionTokens } from './session-tokens.js';

/** Signing in and out with e-mail and password. */
@Injectable()
export class AuthService {
  constructor(
    private readonly accounts: Accounts,
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
   * @throws DomainError 401; 429 TOO_MANY_REQUESTS
   */
  async login(caller: Caller, email: string, password: string): Promise<SessionView> {
    const account = await this.accounts.prove(email, password, caller.ip);
    if (account === null) throw signInFailed();
    return this.changes.transaction(caller, async ({ tx, record }) => {
      const user = await this.accounts.enter(tx, account);
      if (user === null) throw signInFailed();
      const session = await this.sessions.in(tx).open(account.id, this.config.sessionTtlSeconds);
      record({ resourceType: 'user', resourceId: account.id, details: { sessionId: session.id } });
      return { accessToken: this.tokens.sign(account.id, session.id, session.expiresAt), expiresAt: session.expiresAt, user };
    });
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
    };
  }
}

function signInFailed(): DomainError {
  return new DomainError('unauthenticated', 'UNAUTHENTICATED', 'E-mail or password is wrong.');
}
