import { hash, verify } from '@node-rs/argon2';
import { type HashingPriority, hashingSlots } from './hashing-slots.js';

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Compared against where there is no user, so that an attacker cannot tell by time who exists. */
const DUMMY_PASSWORD_HASH = hash('nobody knows this password', ARGON2ID);

/** Shortest and longest password, in characters. @see NIST SP 800-63B, 3.1.1 */
export const PASSWORD_LENGTH = { min: 12, max: 1024 } as const;

/** The sentence that goes with {@link isPassword}. */
export const PASSWORD_RULE = `must be ${PASSWORD_LENGTH.min} to ${PASSWORD_LENGTH.max} characters`;

/** Whether `value` is long enough for a password; that it is not the e-mail address is checked where that is known. */
export function isPassword(value: unknown): value is string {
  if (typeof value !== 'string' || !value.isWellFormed()) return false;
  const { length } = [...value];
  return length >= PASSWORD_LENGTH.min && length <= PASSWORD_LENGTH.max;
}

/** Whether a password is the account's address, the first guess of everybody. */
export function isSameAsEmail(password: string, email: string | null | undefined): boolean {
  return typeof email === 'string' && password.trim().toLowerCase() === email.trim().toLowerCase();
}

/** An argon2id hash in PHC form. The same text typed on another system, in another Unicode form, has the same hash. @see https://cheatsheetseries.owasp.org, Password Storage */
export function hashPassword(password: string): Promise<string> {
  return hashingSlots.run('known', () => hash(password.normalize('NFC'), ARGON2ID));
}

/**
 * Whether `password` is the one behind `passwordHash`; takes as long without a hash as with one.
 *
 * @throws DomainError 503 when too many hashes wait to be computed
 */
export async function passwordMatches(
  passwordHash: string | null,
  password: string,
  priority: HashingPriority = 'known',
): Promise<boolean> {
  const compared = passwordHash ?? (await DUMMY_PASSWORD_HASH);
  const matches = await hashingSlots.run(priority, () => verify(compared, password.normalize('NFC')));
  return passwordHash !== null && matches;
}
