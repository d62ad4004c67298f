import { importedBinding, isSameBinding, passwordBinding, storedBinding } from '../access/credential-binding.js';
import type { AuditRecord } from '../audit/chain.js';
import type { VersionedKey } from '../config/versioned-secrets.js';
import type { User } from '../users/user.entity.js';
import type { LiveSecret } from './compared-rows.repository.js';
import { ACCEPT_ACTION } from './told-state.js';

/**
 * Whether the password of a user, where there is one, is bound to that user. One whose pepper is not at hand counts as
 * bound.
 */
export function isPasswordBound(
  peppers: readonly VersionedKey[],
  { id, passwordHash, passwordBinding: mac, passwordBindingVersion }: User,
): boolean {
  if (passwordHash === null) return true;
  const binding = storedBinding(mac, passwordBindingVersion);
  const pepper = peppers.find(({ version }) => version === binding?.version);
  if (binding === null) return false;
  return pepper === undefined || isSameBinding(binding.mac, passwordBinding(pepper.key, id, passwordHash));
}

/**
 * What is wrong with the secrets of a key that work: each must be named by the trail as one of this key, must not have
 * ended there, and must not work longer than the trail says.
 *
 * @param peppers null: what the release before has stored is not bound yet
 */
export function secretProblems(
  keyId: string,
  secrets: readonly LiveSecret[],
  records: readonly AuditRecord[],
  peppers: readonly VersionedKey[] | null,
): string[] {
  return secrets.flatMap((secret) => {
    const { kid, expiresAt } = secret;
    const told = toldOf(kid, records);
    return [
      ...(told.isNamed ? [] : [`The trail does not know the secret ${kid}.`]),
      ...(told.hasEnded ? [`The trail says that the secret ${kid} has ended.`] : []),
      ...(told.isNamed && worksLonger(expiresAt, told.until)
        ? [`The secret ${kid} works longer than the trail says.`]
        : []),
      ...(peppers === null || isBound(peppers, keyId, secret)
        ? []
        : [`Nothing of this installation has bound the secret ${kid} to this key.`]),
    ];
  });
}

interface ToldSecret {
  readonly isNamed: boolean;
  readonly hasEnded: boolean;
  /** The end of its overlap; null: it has none. */
  readonly until: string | null;
}

function toldOf(kid: string, records: readonly AuditRecord[]): ToldSecret {
  let told: ToldSecret = { isNamed: false, hasEnded: false, until: null };
  for (const { details, action } of records) {
    const { previousKid, previousSecretExpiresAt: until, endedKids, by } = details;
    if (action === ACCEPT_ACTION && Array.isArray(details['kids']) && details['kids'].includes(kid))
      told = { isNamed: true, hasEnded: false, until: null };
    if (details['kid'] === kid && action !== 'api-key-secrets:delete') told = { ...told, isNamed: true };
    if (previousKid === kid && typeof until === 'string') told = { ...told, isNamed: true, until };
    // A restore names a secret that it lets end later as one that it has ended.
    if (Array.isArray(endedKids) && endedKids.includes(kid) && by !== 'restore') told = { ...told, hasEnded: true };
  }
  return told;
}

function worksLonger(expiresAt: string | null, until: string | null): boolean {
  if (until === null) return false;
  return expiresAt === null || Math.floor(Date.parse(expiresAt)) > Date.parse(until);
}

function isBound(
  peppers: readonly VersionedKey[],
  keyId: string,
  { kid, kind, mac, binding, pepperVersion }: LiveSecret,
): boolean {
  if (kind === 'own') return true;
  const pepper = peppers.find(({ version }) => version === pepperVersion);
  if (pepper === undefined) return true;
  const computed = importedBinding(pepper.key, keyId, kid, Buffer.from(mac, 'hex'));
  return binding !== null && isSameBinding(Buffer.from(binding, 'hex'), computed);
}
