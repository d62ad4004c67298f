import jwt from 'jsonwebtoken';
import { isNameOf, isStorableText } from '../../../packages/contract/src/text.js';
import type { OidcConfig } from '../../config/config.js';
import type { Identity } from '../../users/identities.service.js';
import { isEmailAddress } from '../../users/user.dto.js';
import type { OidcKeys } from './oidc-keys.js';

/** Signatures by a private key that only the provider has. (jsonwebtoken knows no EdDSA.) @see RFC 8725, 3.1 */
export const OIDC_ALGORITHMS = ['RS256', 'PS256', 'ES256'] as const;
/** Clocks of two hosts differ a little; `nbf` is often the very second of issue. */
export const CLOCK_TOLERANCE_SECONDS = 5;

const MAX_KEY_ID_CHARACTERS = 256;
const MAX_SUBJECT_CHARACTERS = 255;
const MAX_NAME_CHARACTERS = 100;

/** What a token says, before anything of it is believed but its signature. */
export type Claims = Readonly<Record<string, unknown>>;

/**
 * The key (PEM) a token says it is signed with, if the provider has it. Nothing but `kid` is taken from the header: no
 * `jku`, `x5u` or embedded key is ever followed.
 *
 * @throws DomainError 503 while the provider is away and the key is not known from before
 */
export async function findSigningKey(oidc: OidcConfig, keys: OidcKeys, token: string): Promise<string | null> {
  const decoded = jwt.decode(token, { complete: true });
  if (decoded === null || typeof decoded.payload !== 'object' || decoded.payload.iss !== oidc.issuer) return null;
  const { kid, alg, crit } = decoded.header;
  if (crit !== undefined || !OIDC_ALGORITHMS.some((allowed) => allowed === alg)) return null;
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KEY_ID_CHARACTERS) return null;
  return keys.find(kid, alg);
}

/** Whom a token is about, at `now`; null when it lacks what an identity needs: `sub`, `exp` and `iat`. */
export function identityOf(oidc: OidcConfig, claims: Claims, now: Date): Identity | null {
  const { sub, exp, iat } = claims;
  if (!isNameOf(sub, MAX_SUBJECT_CHARACTERS) || typeof exp !== 'number') return null;
  if (typeof iat !== 'number' || !Number.isFinite(iat) || iat < 0) return null;
  const email = isEmailAddress(claims['email']) ? claims['email'].trim() : null;
  const issuedAt = Math.min(Math.floor(iat), Math.floor(now.getTime() / 1000) + CLOCK_TOLERANCE_SECONDS);
  const isEmailVerified = email !== null && isTrue(claims['email_verified']);
  return {
    issuer: oidc.issuer,
    subject: sub,
    email,
    isEmailVerified,
    name: nameOf(claims, email ?? sub),
    roles: rolesOf(oidc, claims),
    issuedAt,
  };
}

/** Whether a token counts at `now`: not before `nbf`, and until `exp`. Clocks of two hosts differ a little. */
export function isInTime({ exp, nbf }: Claims, now: Date): boolean {
  const nowSeconds = now.getTime() / 1000;
  if (typeof exp !== 'number' || !Number.isFinite(exp) || nowSeconds >= exp + CLOCK_TOLERANCE_SECONDS) return false;
  return nbf === undefined || (typeof nbf === 'number' && nbf <= nowSeconds + CLOCK_TOLERANCE_SECONDS);
}

/**
 * A provider that does not say it has verified the address has not. Some say it as text. @see OpenID Connect Core 1.0,
 * 5.1
 */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

function nameOf(claims: Claims, fallback: string): string {
  const stated = [claims['name'], claims['preferred_username']].find(
    (value) => isStorableText(value) && value.trim() !== '',
  );
  return [...((stated as string | undefined) ?? fallback).trim()].slice(0, MAX_NAME_CHARACTERS).join('');
}

/** The mapped values of the roles claim; its name may be a path (`realm_access.roles`). Unknown ones are ignored. */
function rolesOf(oidc: OidcConfig, claims: Claims): string[] {
  const value = claims[oidc.rolesClaim] ?? oidc.rolesClaim.split('.').reduce<unknown>(memberOf, claims);
  const values = Array.isArray(value) ? (value as unknown[]) : typeof value === 'string' ? value.split(' ') : [];
  const roles = values.map((entry) => (typeof entry === 'string' ? oidc.roleMap.get(entry) : undefined));
  return [...new Set(roles.filter((role) => role !== undefined))].sort();
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Claims)[name]
    : undefined;
}
