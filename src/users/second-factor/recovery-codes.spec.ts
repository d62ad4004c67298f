import { describe, expect, it } from '@jest/globals';
import { RECOVERY_CODES, drawRecoveryCodes, hashRecoveryCode, readRecoveryCode } from './recovery-codes.js';

describe('recovery codes', () => {
  it('are ten, each another, in four groups that are easy to type', () => {
    const codes = drawRecoveryCodes();
    expect(codes).toHaveLength(RECOVERY_CODES);
    expect(new Set(codes).size).toBe(RECOVERY_CODES);
    for (const code of codes) expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
  });

  it('are read whatever their case and spaces, and with letters taken for digits', () => {
    expect(readRecoveryCode(' 7kq2 m9xd-4tra-woeh')).toBe('7KQ2M9XD4TRAW0EH');
    expect(readRecoveryCode('ilil-0000-oooo-1111')).toBe('1111000000001111');
    for (const text of ['', '123456', '7KQ2-M9XD-4TRA-W0E', '7KQ2-M9XD-4TRA-W0EHX', '7KQ2-M9XD-4TRA-W0E!'])
      expect(readRecoveryCode(text)).toBeNull();
  });

  it('have a hash that needs the secret of the factor, and is of one user', () => {
    const [secret, other] = [Buffer.alloc(20, 1), Buffer.alloc(20, 2)];
    const hash = hashRecoveryCode(secret, 'a', '7KQ2M9XD4TRAW0EH');
    expect(hash).toHaveLength(32);
    expect(hashRecoveryCode(secret, 'a', '7KQ2M9XD4TRAW0EH')).toEqual(hash);
    expect(hashRecoveryCode(other, 'a', '7KQ2M9XD4TRAW0EH')).not.toEqual(hash);
    expect(hashRecoveryCode(secret, 'b', '7KQ2M9XD4TRAW0EH')).not.toEqual(hash);
  });
});
