import type { User } from '../api/client';

/**
 * A person's e-mail address as text, marked where the identity provider has not verified it: anybody may have entered
 * it there, the address of a colleague included.
 */
export function addressOf({ email, isEmailVerified }: Pick<User, 'email' | 'isEmailVerified'>): string | null {
  return email !== null && isEmailVerified === false ? `${email} (not verified)` : email;
}
