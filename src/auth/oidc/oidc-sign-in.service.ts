import { Inject, Injectable, Logger } from '@nestjs/common';
import jwt from 'jsonwebtoken';
import type { Caller } from '../../access/caller.js';
import { DomainError } from '../../common/domain-error.js';
import { domainErrorOf } from '../../common/problem.filter.js';
import { Clock } from '../../common/clock.js';
import { Config, type OidcClientConfig, type OidcConfig } from '../../config/config.js';
import type { Identity } from '../../users/identities.service.js';
import { PasswordThrottle } from '../../users/password-throttle.js';
import { SignInFailures } from '../../users/sign-in-failures.js';
import { AuthService } from '../auth.service.js';
import type { SessionView } from '../auth.view.js';
import { CLOCK_TOLERANCE_SECONDS, type Claims, OIDC_ALGORITHMS, findSigningKey, identityOf } from './oidc-identity.js';
import { OidcKeys } from './oidc-keys.js';
import { OidcProvider } from './oidc-provider.js';
import { type SignInAttempt, SignInAttempts } from './sign-in-attempts.js';

/** Why a sign-in came to nothing, as the console's page is told; it has a sentence for each. */
export type SignInFailure = 'expired' | 'refused' | 'not-admitted' | 'throttled' | 'unavailable';

/** How a sign-in ended, and where its browser goes now; null when that is not known. */
export type SignInOutcome =
  | { readonly session: SessionView; readonly returnTo: string }
  | { readonly failure: SignInFailure; readonly returnTo: string | null };

/** What the provider added to the callback's address; anybody may have written it. */
export interface CallbackQuery {
  readonly code?: unknown;
  readonly state?: unknown;
  readonly error?: unknown;
  readonly iss?: unknown;
}

/** A sign-in that ended for a reason of its own. The cause is logged, and never sent. */
class SignInEnded extends Error {
  constructor(
    readonly failure: SignInFailure,
    cause: string,
  ) {
    super(cause);
  }
}

const MAX_CODE_CHARACTERS = 4096;
/** It comes in no header, and with the 200 groups that a large directory puts into one it has some 11 000. */
const MAX_ID_TOKEN_CHARACTERS = 32 * 1024;

/**
 * Signing in to the console with the company's identity provider: the provider sends a code, the server redeems it,
 * proves the ID token, and opens a session like any other. No token of the provider reaches the browser.
 *
 * @see docs/adr/0010-signing-in-with-an-identity-provider.md
 */
@Injectable()
export class OidcSignIn {
  private readonly logger = new Logger('SignIn');

  constructor(
    private readonly config: Config,
    private readonly attempts: SignInAttempts,
    @Inject(OidcProvider) private readonly provider: OidcProvider | null,
    @Inject(OidcKeys) private readonly keys: OidcKeys | null,
    private readonly throttle: PasswordThrottle,
    private readonly failures: SignInFailures,
    private readonly auth: AuthService,
    private readonly clock: Clock,
  ) {}

  /**
   * Where the browser goes to sign in, and the cookie by which the attempt is known when it comes back.
   *
   * @throws DomainError 404 IDENTITY_PROVIDER_NOT_CONFIGURED; 503 while the provider is away
   */
  async begin(returnTo: string): Promise<{ location: string; cookie: string }> {
    const { provider } = this.configured();
    const attempt = this.attempts.begin(returnTo);
    return { location: await provider.authorizationUrl(attempt), cookie: this.attempts.seal(attempt) };
  }

  /**
   * Ends the sign-in that `cookie` began. A code that was tried and refused counts against the address like a wrong
   * password; what could not be decided does not.
   *
   * @throws DomainError 404 IDENTITY_PROVIDER_NOT_CONFIGURED
   */
  async complete(caller: Caller, cookie: string | null, query: CallbackQuery): Promise<SignInOutcome> {
    this.configured();
    const attempt = this.attempts.open(cookie);
    const returnTo = attempt?.returnTo ?? null;
    try {
      if (attempt === null || query.state !== attempt.state)
        throw new SignInEnded('expired', 'The state is none, too old, or of another sign-in.');
      return {
        session: await this.throttle.guardAddress(caller.ip, () => this.enter(caller, attempt, query)),
        returnTo: attempt.returnTo,
      };
    } catch (error) {
      const failure = failureOf(error);
      if (failure === null) throw error;
      this.logger.warn({
        msg: 'A sign-in with the identity provider ended without a session.',
        requestId: caller.requestId,
        clientIp: caller.ip,
        failure,
        cause: causeOf(error),
      });
      if (isFailure(failure))
        this.failures.note(caller, null, failure === 'throttled' ? 'throttled' : 'identity-provider');
      return { failure, returnTo };
    }
  }

  private async enter(caller: Caller, attempt: SignInAttempt, query: CallbackQuery): Promise<SessionView> {
    const { oidc, provider } = this.configured();
    if (query.error !== undefined)
      throw new SignInEnded('refused', `The provider sent the error ${printable(query.error)}.`);
    // Who answers under another name is another provider (RFC 9207).
    if (query.iss !== undefined && query.iss !== oidc.issuer)
      throw new SignInEnded('refused', 'The answer names another issuer.');
    if (typeof query.code !== 'string' || query.code === '' || query.code.length > MAX_CODE_CHARACTERS)
      throw new SignInEnded('refused', 'The answer has no code.');
    const redeemed = await provider.redeem(query.code, attempt.verifier);
    if ('refusal' in redeemed)
      throw new SignInEnded('refused', `The provider refused the code: ${printable(redeemed.refusal)}.`);
    const session = await this.auth.loginByIdentity(caller, await this.prove(redeemed.idToken, attempt.nonce));
    if (session === null) throw new SignInEnded('not-admitted', 'The user is inactive or deleted.');
    return session;
  }

  /** The identity of an ID token. @see OpenID Connect Core 1.0, 3.1.3.7 */
  private async prove(token: string, nonce: string): Promise<Identity> {
    const { oidc, client, keys } = this.configured();
    if (token.length > MAX_ID_TOKEN_CHARACTERS) throw new SignInEnded('refused', 'The ID token is too long.');
    const key = await findSigningKey(oidc, keys, token);
    if (key === null) throw new SignInEnded('refused', 'The ID token is signed with no key of the provider.');
    const now = this.clock.now();
    const expected = {
      issuer: oidc.issuer,
      audience: client.id,
      nonce,
      clockTimestamp: Math.floor(now.getTime() / 1000),
    };
    const claims = verified(token, key, expected);
    const { aud, azp } = claims;
    if (azp !== undefined ? azp !== client.id : Array.isArray(aud) && aud.length > 1)
      throw new SignInEnded('refused', 'The ID token was made for another client.');
    const identity = identityOf(oidc, claims, now);
    if (identity === null) throw new SignInEnded('refused', 'The ID token lacks sub, exp or iat.');
    return identity;
  }

  private configured(): { oidc: OidcConfig; client: OidcClientConfig; provider: OidcProvider; keys: OidcKeys } {
    const { provider, keys } = this;
    const { oidc } = this.config;
    if (!oidc?.client || provider === null || keys === null) {
      throw new DomainError(
        'missing',
        'IDENTITY_PROVIDER_NOT_CONFIGURED',
        'No identity provider is configured to sign in with.',
      );
    }
    return { oidc, client: oidc.client, provider, keys };
  }
}

function verified(
  token: string,
  key: string,
  expected: { issuer: string; audience: string; nonce: string; clockTimestamp: number },
): Claims {
  try {
    return jwt.verify(token, key, {
      ...expected,
      algorithms: [...OIDC_ALGORITHMS],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    }) as Claims;
  } catch (error) {
    // The library names the rule that was broken, and no part of the token.
    throw new SignInEnded('refused', `The ID token is not valid: ${(error as Error).message}.`);
  }
}

/** Whether a failure says something about who tries: a slow person or a provider that is away does not. */
function isFailure(failure: SignInFailure): boolean {
  return failure === 'refused' || failure === 'not-admitted' || failure === 'throttled';
}

/** null: a bug, or something else that is no answer about this sign-in. */
function failureOf(error: unknown): SignInFailure | null {
  if (error instanceof SignInEnded) return error.failure;
  const kind = domainErrorOf(error)?.kind;
  return kind === 'unavailable' || kind === 'throttled' ? kind : null;
}

function causeOf(error: unknown): string {
  if (error instanceof SignInEnded) return error.message;
  const { message, cause } = domainErrorOf(error)!;
  return cause instanceof Error ? `${message} ${cause.message}` : message;
}

/** Words from outside, fit for a log: `access_denied` and the like. */
function printable(word: unknown): string {
  return typeof word === 'string' ? word.replace(/[^\w .-]/g, '').slice(0, 80) : 'of no name';
}
