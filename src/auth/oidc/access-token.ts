import type { OidcConfig } from '../../config/config.js';
import type { Claims } from './oidc-identity.js';

/** Why a token with a good signature is not an access token for this API. */
export const BEARER_REFUSALS = {
  events: 'This is a logout token or a security event token. Present an access token.',
  type: 'The header typ of this token names another kind of token. Present an access token.',
  'id-token': 'This is an ID token. Present an access token.',
  kind: 'A claim of this token (typ or token_use) names another kind of token. Present an access token.',
  client:
    'This token was issued to a client that may not use this API. ' +
    'The operator lists those that may in OIDC_ALLOWED_CLIENTS.',
} as const;

/** One of {@link BEARER_REFUSALS}. */
export type BearerRefusal = keyof typeof BEARER_REFUSALS;

/** What providers put into the header of access tokens. @see RFC 9068, 2.1; RFC 8725, 3.11 */
const ACCESS_TOKEN_TYPES: readonly unknown[] = [undefined, 'jwt', 'at+jwt'];

/** First words of the claim `typ`, by which Keycloak tells its tokens apart: the header of all says `JWT`. */
const OTHER_KINDS = ['id', 'refresh', 'offline', 'logout', 'serialized'];
const ACCESS_KINDS = ['bearer', 'dpop', 'at', 'access'];

/** Hashes of what was issued beside an ID token. @see OpenID Connect Core 1.0, 3.3.2.11; FAPI 1.0 Advanced, 5.1 */
const ID_TOKEN_HASHES = ['at_hash', 'c_hash', 's_hash'];

/** Claims that access tokens have and ID tokens have not. @see RFC 9068, 2.2.3 */
const SCOPE_CLAIMS = ['scope', 'scp'];

/** Who asked for the token: in OpenID Connect, in RFC 9068, at Okta, and at Microsoft. */
const CLIENT_CLAIMS = ['azp', 'client_id', 'cid', 'appid'];

/**
 * Why the bearer token is refused, or null when it is an access token for this API. Signature, issuer, audience and
 * times are checked elsewhere. They prove too little: the provider signs its ID tokens and logout tokens alike.
 *
 * @param type the member `typ` of its header
 */
export function bearerRefusal(oidc: OidcConfig, type: unknown, claims: Claims): BearerRefusal | null {
  if (claims['events'] !== undefined) return 'events';
  if (!ACCESS_TOKEN_TYPES.includes(typeof type === 'string' ? type.toLowerCase().replace(/^application\//, '') : type))
    return 'type';
  if (namesOtherKind(claims)) return 'kind';
  const isForConsole = oidc.client !== null && [claims['aud']].flat().includes(oidc.client.id);
  if (isIdToken(type, claims) || (isForConsole && claims['nonce'] !== undefined)) return 'id-token';
  return isOfAllowedClient(oidc, isForConsole, clientsOf(claims)) ? null : 'client';
}

/** Whether the token says of itself that it is no access token, as Keycloak and Cognito do in claims. */
function namesOtherKind({ typ, token_use: use }: Claims): boolean {
  if (use !== undefined && use !== 'access') return true;
  return OTHER_KINDS.includes(kindOf(typ));
}

/**
 * Whether the token is an ID token by what it has. A nonce alone does not say so: Keycloak before 25 and authentik put
 * it into access tokens, too, which then have a scope, or say that they are access tokens.
 */
function isIdToken(type: unknown, claims: Claims): boolean {
  if (ID_TOKEN_HASHES.some((name) => claims[name] !== undefined)) return true;
  const isTyped = typeof type === 'string' && /^(application\/)?at\+jwt$/i.test(type);
  const saysAccess = isTyped || claims['token_use'] === 'access' || ACCESS_KINDS.includes(kindOf(claims['typ']));
  return claims['nonce'] !== undefined && !saysAccess && SCOPE_CLAIMS.every((name) => claims[name] === undefined);
}

function kindOf(typ: unknown): string {
  return typeof typ === 'string' ? /^[a-z]*/.exec(typ.toLowerCase())![0] : '';
}

/** Every client that a token names as the one that asked for it. */
export function clientsOf(claims: Claims): readonly unknown[] {
  return [...new Set(CLIENT_CLAIMS.map((name) => claims[name]).filter((client) => client !== undefined))];
}

/**
 * With OIDC_ALLOWED_CLIENTS a token must name a client, and all that it names must be listed. Without it any client of
 * the provider may call, except with a token for the console: of these the console is the only client.
 */
function isOfAllowedClient(
  { allowedClients, client }: OidcConfig,
  isForConsole: boolean,
  named: readonly unknown[],
): boolean {
  if (allowedClients !== null && named.length === 0) return false;
  if (allowedClients === null && !isForConsole) return true;
  return named.every((one) => (isForConsole && one === client?.id) || allowedClients?.has(one as string));
}
