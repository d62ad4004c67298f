import { ConfigError } from './config-error.js';
import type { Environment } from './environment.js';
import { list } from './list.js';

/** An identity provider whose tokens are accepted. */
export interface OidcConfig {
  readonly issuer: string;
  readonly jwksUri: string;
  readonly audience: string;
  /** Clients of the provider whose bearer tokens are accepted; null: no list was given. */
  readonly allowedClients: ReadonlySet<string> | null;
  readonly rolesClaim: string;
  /** Claim value → role name. Values that are not named give no role. */
  readonly roleMap: ReadonlyMap<string, string>;
  /** What the console signs in as; null: it does not offer to. */
  readonly client: OidcClientConfig | null;
}

/** This installation as a client that is registered at the identity provider. */
export interface OidcClientConfig {
  readonly id: string;
  /** null: a public client, whose codes PKCE alone protects. */
  readonly secret: string | null;
  /** With spaces between; `openid` is among them. */
  readonly scopes: string;
  /** What follows “Sign in with” on the button. */
  readonly name: string;
}

/** What the variables of OIDC say; null: none of them is given. @throws ConfigError */
export function oidcOf(environment: Environment): OidcConfig | null {
  const { OIDC_ISSUER, OIDC_JWKS_URI, OIDC_AUDIENCE } = environment;
  const allowedClients = allowedClientsOf(environment);
  if (OIDC_ISSUER === undefined && OIDC_JWKS_URI === undefined && OIDC_AUDIENCE === undefined) {
    if (oidcClientOf(environment) !== null)
      throw new ConfigError('OIDC_CLIENT_ID needs OIDC_ISSUER, OIDC_JWKS_URI and OIDC_AUDIENCE');
    if (allowedClients !== null)
      throw new ConfigError('OIDC_ALLOWED_CLIENTS needs OIDC_ISSUER, OIDC_JWKS_URI and OIDC_AUDIENCE');
    return null;
  }
  if (OIDC_ISSUER === undefined || OIDC_JWKS_URI === undefined || OIDC_AUDIENCE === undefined) {
    throw new ConfigError('OIDC_ISSUER, OIDC_JWKS_URI and OIDC_AUDIENCE must be given together');
  }
  const roleMap = new Map<string, string>();
  for (const entry of list(environment.OIDC_ROLE_MAP)) {
    const [claim, role, ...rest] = entry.split('=');
    if (!claim || !role || rest.length > 0)
      throw new ConfigError('OIDC_ROLE_MAP must be a comma-separated list of claim=role');
    roleMap.set(claim.trim(), role.trim());
  }
  return {
    issuer: OIDC_ISSUER,
    jwksUri: OIDC_JWKS_URI,
    audience: OIDC_AUDIENCE,
    allowedClients,
    rolesClaim: environment.OIDC_ROLES_CLAIM,
    roleMap,
    client: oidcClientOf(environment),
  };
}

/** @throws ConfigError for a list without an entry, which would refuse everybody */
function allowedClientsOf({ OIDC_ALLOWED_CLIENTS }: Environment): ReadonlySet<string> | null {
  if (OIDC_ALLOWED_CLIENTS === undefined) return null;
  const clients = new Set(list(OIDC_ALLOWED_CLIENTS));
  if (clients.size === 0) throw new ConfigError('OIDC_ALLOWED_CLIENTS must be a comma-separated list of client ids');
  return clients;
}

function oidcClientOf({
  OIDC_CLIENT_ID: id,
  OIDC_CLIENT_SECRET: secret,
  OIDC_SCOPES: scopes,
  OIDC_NAME: name,
}: Environment): OidcClientConfig | null {
  if (id === undefined && secret !== undefined) throw new ConfigError('OIDC_CLIENT_SECRET needs OIDC_CLIENT_ID');
  return id === undefined ? null : { id, secret: secret ?? null, scopes, name };
}
