import { hash, verify } from '@node-rs/argon2';

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Compared against where there is no user, so that a stranger cannot tell by time who exists. */
const NOBODY = hash('nobody knows this password', ARGON2ID);

/** An argon2id hash in PHC form. @see https://cheatsheetseries.owasp.org, Password Storage */
export function hashPassword(password: string): Promise<string> {
  return hash(password, ARGON2ID);
}

/** Whether `password` is the one behind `passwordHash`; takes as long without a hash as with one. */
export async function passwordMatches(passwordHash: string | null, password: string): Promise<boolean> {
  const matches = await verify(passwordHash ?? (await NOBODY), password);
  return passwordHash !== null && matches;
}
