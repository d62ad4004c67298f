import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { type AnswerBinding, seal, unseal } from './sealed-answer.js';

const PEPPER = Buffer.alloc(32, 7);
const binding: AnswerBinding = {
  idempotencyKey: 'retry-1',
  principalId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55',
  route: 'POST /api-keys',
  target: '',
  payloadHash: createHash('sha256').update('{}').digest(),
};

describe('a sealed answer', () => {
  it('gives back any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
        (text) => {
          expect(unseal(PEPPER, binding, seal(PEPPER, binding, text))).toBe(text);
        },
      ),
    );
  });

  it.each([
    ['Idempotency-Key', { idempotencyKey: 'retry-2' }],
    ['principal', { principalId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e56' }],
    ['route', { route: 'POST /api-keys/:id/regenerate' }],
    ['target', { target: 'another' }],
    ['payload', { payloadHash: Buffer.alloc(32) }],
    ['split between its texts', { idempotencyKey: 'retry-1019a8b5e', principalId: '-1c7a-7cc3-b4a1-3a7c2f1d9e55' }],
  ])('opens for no other %s', (_, other) => {
    expect(unseal(PEPPER, { ...binding, ...other }, seal(PEPPER, binding, 'text'))).toBeNull();
  });

  it('opens with no other pepper', () => {
    expect(unseal(Buffer.alloc(32, 8), binding, seal(PEPPER, binding, 'text'))).toBeNull();
  });

  it('notices every altered or missing byte', () => {
    const sealed = seal(PEPPER, binding, 'text');
    for (let index = 0; index < sealed.length; index += 1) {
      const altered = Buffer.from(sealed);
      altered[index]! ^= 1;
      expect(unseal(PEPPER, binding, altered)).toBeNull();
      expect(unseal(PEPPER, binding, sealed.subarray(0, index))).toBeNull();
    }
  });

  it('shows nothing of the text, and differs each time', () => {
    const sealed = seal(PEPPER, binding, 'lk_live_secret');
    expect(sealed.includes('secret')).toBe(false);
    expect(seal(PEPPER, binding, 'lk_live_secret').equals(sealed)).toBe(false);
  });
});
