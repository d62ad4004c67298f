import { createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Codes that are drawn at a time. */
export const RECOVERY_CODES = 10;

const CODE_CHARACTERS = 16;
/** Crockford's base 32: without letters that are taken for digits. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODE = new RegExp(`^[${ALPHABET}]{${CODE_CHARACTERS}}$`);

/** New codes of 80 random bits, as `7KQ2-M9XD-4TRA-W0EH`. */
export function drawRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () => {
    const characters = Array.from(randomBytes(CODE_CHARACTERS), (byte) => ALPHABET[byte % ALPHABET.length]);
    return characters.join('').replace(/(?<=.)(?=(.{4})+$)/g, '-');
  });
}

/** A recovery code as it was typed, without what does not matter: case, spaces, hyphens; null for what is none. */
export function readRecoveryCode(text: string): string | null {
  const code = text.replace(/[\s-]/g, '').toUpperCase().replace(/O/g, '0').replace(/[IL]/g, '1');
  return CODE.test(code) ? code : null;
}

/**
 * What is stored of a code. Its key comes from the secret of the factor, which the database does not have: rows of the
 * database give no code, and a row that is added opens nothing. A new pepper leaves it as it is.
 *
 * @param code as `readRecoveryCode` gives it
 */
export function hashRecoveryCode(secret: Buffer, userId: string, code: string): Buffer {
  const key = hkdfSync('sha256', secret, Buffer.alloc(0), Buffer.from(`latchkey recovery code v1\0${userId}`), 32);
  return createHmac('sha256', Buffer.from(key)).update(code).digest();
}
