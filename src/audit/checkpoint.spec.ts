import { describe, expect, it } from '@jest/globals';
import { randomBytes, verify } from 'node:crypto';
import { canonicalJson } from '../common/canonical-json.js';
import {
  checkpointKey,
  checkpointPublicKeyPem,
  checkpointPublicKeys,
  openCheckpoint,
  signCheckpoint,
} from './checkpoint.js';

const AUDIT_KEY = Buffer.alloc(32, 7);
const ANCHOR = { seq: '4711', hash: randomBytes(32), at: '2026-03-01T12:00:00.000Z' };
const keys = checkpointPublicKeys([{ version: '1', key: AUDIT_KEY, strengthBytes: 32 }]);

describe('A checkpoint', () => {
  it('opens to what was signed', () => {
    expect(openCheckpoint(keys, JSON.parse(JSON.stringify(signCheckpoint(checkpointKey(AUDIT_KEY), ANCHOR))))).toEqual({
      ...ANCHOR,
      signedBy: ['1'],
    });
  });

  it('can be checked by anybody with the printed public key', () => {
    const { signature, ...statement } = signCheckpoint(checkpointKey(AUDIT_KEY), ANCHOR);
    const pem = checkpointPublicKeyPem(AUDIT_KEY);
    expect(pem).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    expect(verify(null, Buffer.from(canonicalJson(statement)), pem, Buffer.from(signature, 'base64url'))).toBe(true);
  });

  it('is signed by the same key in every process, and by another for another audit key', () => {
    expect(checkpointPublicKeyPem(AUDIT_KEY)).toBe(checkpointPublicKeyPem(Buffer.alloc(32, 7)));
    expect(checkpointPublicKeyPem(AUDIT_KEY)).not.toBe(checkpointPublicKeyPem(Buffer.alloc(32, 8)));
  });

  it.each([
    ['another seq', { seq: '4712' }],
    ['another hash', { hash: '00'.repeat(32) }],
    ['another time', { at: '2026-03-01T12:00:01.000Z' }],
    ['no signature', { signature: undefined }],
    ['one more member', { note: 'x' }],
    ['another type', { type: 'latchkey-audit-checkpoint/2' }],
  ])('does not open with %s', (_, change) => {
    expect(openCheckpoint(keys, { ...signCheckpoint(checkpointKey(AUDIT_KEY), ANCHOR), ...change })).toBeNull();
  });

  it('does not open when another key has signed it', () => {
    expect(openCheckpoint(keys, signCheckpoint(checkpointKey(Buffer.alloc(32, 8)), ANCHOR))).toBeNull();
  });

  it.each([null, 'text', 5, []])('is not %j', (value) => {
    expect(openCheckpoint(keys, value)).toBeNull();
  });
});
