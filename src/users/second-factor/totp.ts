import { randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';

/** Seconds for which a code is the current one. @see RFC 6238, 5.2 */
export const STEP_SECONDS = 30;

/** Steps by which the clock of a phone may differ, either way. */
const WINDOW_STEPS = 1;

/** What authenticator apps understand without being told; others are ignored by some of them. */
const PARAMETERS = { algorithm: 'SHA1', digits: 6, period: STEP_SECONDS } as const;

/** 160 random bits, as long as the digest. @see RFC 4226, 4 */
export function newFactorSecret(): Buffer {
  return randomBytes(20);
}

/** A secret as people type it, in base32. */
export function secretText(secret: Buffer): string {
  return secretOf(secret).base32;
}

/** What an authenticator app reads from a QR code. */
export function uriOf(secret: Buffer, issuer: string, account: string): string {
  return new TOTP({ ...PARAMETERS, issuer, label: account, secret: secretOf(secret) }).toString();
}

/** The step whose code this is, of the steps around `nowStep`; null for a wrong code. */
export function stepOf(secret: Buffer, code: string, nowStep: number): number | null {
  // The library compares bytes, and throws for digits of other scripts.
  if (!/^[0-9]{6}$/.test(code)) return null;
  const timestamp = nowStep * STEP_SECONDS * 1000;
  const delta = new TOTP({ ...PARAMETERS, secret: secretOf(secret) }).validate({
    token: code,
    timestamp,
    window: WINDOW_STEPS,
  });
  return delta === null ? null : nowStep + delta;
}

function secretOf(secret: Buffer): Secret {
  // The library reads the whole buffer, and a small Buffer is a part of a larger one.
  return new Secret({ buffer: Uint8Array.from(secret).buffer });
}
