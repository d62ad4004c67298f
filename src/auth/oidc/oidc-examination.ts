import type { DataSource } from 'typeorm';
import type { Config, OidcConfig } from '../../config/config.js';
import { fetchKeySet } from './oidc-keys.js';
import { readSigningKeys } from './signing-keys.js';

/** What a look at the settings and keys of the identity provider came to. @see Finding in health/doctor.ts */
interface Examined {
  readonly check: string;
  readonly differences: readonly string[];
  readonly note?: string;
}

/** A sentence for the operator where an ID token of the console has the audience of bearer tokens; else null. */
export function audienceWarning({ oidc }: Pick<Config, 'oidc'>): string | null {
  if (oidc?.client == null || oidc.audience !== oidc.client.id) return null;
  return (
    'OIDC_AUDIENCE and OIDC_CLIENT_ID are the same, so ID tokens of the console have the audience of bearer tokens. ' +
    'Such a token is refused where it has a nonce, or names another client that is not in OIDC_ALLOWED_CLIENTS. ' +
    'Give bearer tokens an audience of their own.'
  );
}

/** For `npm run doctor`: whom the rules about bearer tokens concern, and whether all signing keys are accepted. */
export async function examineIdentityProvider({ oidc }: Config, dataSource: DataSource): Promise<Examined[]> {
  return oidc === null ? [] : [await bearers(oidc, dataSource), await signingKeys(oidc)];
}

/** A choice of the operator, who is told: it is no difference. */
async function bearers(oidc: OidcConfig, dataSource: DataSource): Promise<Examined> {
  const ids = await findBearers(dataSource, oidc.issuer);
  const people =
    ids.length === 0
      ? 'nobody came with bearer tokens alone in the last 30 days'
      : `with bearer tokens alone came in the last 30 days: ${ids.join(', ')}`;
  const clients =
    oidc.allowedClients === null ? 'any client of the provider' : `the clients ${[...oidc.allowedClients].join(', ')}`;
  const note = [`accepted of ${clients}`, people, audienceWarning({ oidc })].filter((part) => part !== null).join('; ');
  return { check: 'bearer tokens of the identity provider', differences: [], note };
}

/** Users of the provider who were seen, and did not sign in to the console; at most ten. */
async function findBearers(dataSource: DataSource, issuer: string): Promise<string[]> {
  const rows = await dataSource.query<{ id: string }[]>(
    `SELECT u.id FROM users u
      WHERE u.oidc_issuer = $1 AND u.deleted_at IS NULL AND u.last_sign_in_at > now() - interval '30 days'
        AND NOT EXISTS (SELECT FROM audit_event a WHERE a.resource_type = 'user' AND a.resource_id = u.id::text
                         AND a.action = 'auth:login' AND a.outcome = 'success' AND a.at > now() - interval '30 days')
      ORDER BY u.last_sign_in_at DESC LIMIT 10`,
    [issuer],
  );
  return rows.map(({ id }) => id);
}

async function signingKeys(oidc: OidcConfig): Promise<Examined> {
  const check = 'signing keys of the identity provider';
  try {
    const { keys, refused } = readSigningKeys(await fetchKeySet(oidc.jwksUri));
    return { check, differences: refused, note: `${keys.size} accepted` };
  } catch (error) {
    return { check, differences: [], note: `could not be read: ${(error as Error).message}` };
  }
}
