import { createHash } from 'node:crypto';
import type { Clock } from '../../common/clock.js';
import { unavailable } from '../../common/domain-error.js';
import type { OidcClientConfig, OidcConfig } from '../../config/config.js';
import { fetchJson } from './bounded-fetch.js';
import { ProviderDocument } from './provider-document.js';
import type { SignInAttempt } from './sign-in-attempts.js';

/** How long the provider's description of itself counts; it names addresses, which hardly ever change. */
const FRESH_MS = 60 * 60_000;

/** What we need of OpenID Connect Discovery 1.0, section 3. */
interface Description {
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
  /** The secret goes into the body where the provider does not take it in a header. */
  readonly secretInBody: boolean;
}

/** What came of a code: the ID token, or the provider's own word for why there is none. */
export type Redemption = { readonly idToken: string } | { readonly refusal: string };

/**
 * The identity provider as the console's sign-in meets it: where it sends people, and where it redeems the code they
 * bring back (OAuth 2.0 authorization code flow with PKCE).
 *
 * @see RFC 6749, 4.1; RFC 7636; OpenID Connect Core 1.0, 3.1
 */
export class OidcProvider {
  private readonly description: ProviderDocument<Description>;

  constructor(
    oidc: OidcConfig,
    private readonly client: OidcClientConfig,
    /** Where the provider sends people back to: `/api/v1/auth/oidc/callback` below `PUBLIC_URL`. */
    private readonly redirectUri: string,
    clock: Clock,
  ) {
    this.description = new ProviderDocument(clock, () => fetchDescription(oidc.issuer));
  }

  /** The provider's page to sign in at. @throws DomainError 503 while the provider does not say where that is */
  async authorizationUrl({ state, nonce, verifier }: SignInAttempt): Promise<string> {
    const url = new URL((await this.describe()).authorizationEndpoint);
    const parameters = {
      response_type: 'code',
      client_id: this.client.id,
      redirect_uri: this.redirectUri,
      scope: this.client.scopes,
      state,
      nonce,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  }

  /** Redeems a code, once: the provider refuses it a second time. @throws DomainError 503 while the provider is away */
  async redeem(code: string, verifier: string): Promise<Redemption> {
    const { tokenEndpoint, secretInBody } = await this.describe();
    const { id, secret } = this.client;
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: this.redirectUri,
      code_verifier: verifier,
    });
    const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' };
    if (secret !== null && !secretInBody) headers['authorization'] = basicCredentials(id, secret);
    else form.set('client_id', id);
    if (secret !== null && secretInBody) form.set('client_secret', secret);
    const { status, body } = await fetchJson(tokenEndpoint, { method: 'POST', headers, body: form.toString() }).catch(
      (error: unknown) => {
        throw away(error);
      },
    );
    if (status >= 500 || status === 429) throw away(new Error(`The token endpoint answered ${status}.`));
    const { id_token: idToken, error } = membersOf(body);
    if (status === 200 && typeof idToken === 'string') return { idToken };
    return { refusal: typeof error === 'string' ? error : `status ${status} without an ID token` };
  }

  private async describe(): Promise<Description> {
    if (this.description.within(FRESH_MS) === null) await this.description.refresh();
    const known = this.description.within(Number.POSITIVE_INFINITY);
    if (known === null) throw away(this.description.failure);
    return known;
  }
}

async function fetchDescription(issuer: string): Promise<Description> {
  const { status, body } = await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  if (status !== 200) throw new Error(`The provider's description of itself answered ${status}.`);
  return descriptionOf(body, issuer);
}

/** @throws Error when it is another issuer's, or names no usable endpoints */
function descriptionOf(body: unknown, issuer: string): Description {
  const members = membersOf(body);
  if (members['issuer'] !== issuer)
    throw new Error('The provider describes itself as another issuer than OIDC_ISSUER.');
  const methods = members['token_endpoint_auth_methods_supported'];
  const takes = (method: string) => Array.isArray(methods) && methods.includes(method);
  return {
    authorizationEndpoint: endpointOf(members['authorization_endpoint'], issuer),
    tokenEndpoint: endpointOf(members['token_endpoint'], issuer),
    secretInBody: takes('client_secret_post') && !takes('client_secret_basic'),
  };
}

/** As well protected as the issuer itself: a secret that goes to https must not be led to http. */
function endpointOf(value: unknown, issuer: string): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && issuer.startsWith('http:'));
  if (url === null || !isSafe) throw new Error('The provider names an endpoint that is no https URL.');
  return url.href;
}

/** Both parts are form-encoded first. @see RFC 6749, 2.3.1 */
function basicCredentials(id: string, secret: string): string {
  const encoded = (text: string) => new URLSearchParams({ _: text }).toString().slice(2);
  return `Basic ${Buffer.from(`${encoded(id)}:${encoded(secret)}`).toString('base64')}`;
}

function membersOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Readonly<Record<string, unknown>>) : {};
}

function away(cause: unknown) {
  return unavailable('The identity provider is not available.', cause);
}
