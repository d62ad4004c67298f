import { describe, expect, it } from '@jest/globals';
import { MissingCodes } from './missing-codes.js';

const passwordOf = (userId: string) => ({ caller: { ip: null, requestId: null }, userId, at: new Date(0) });
const idsOf = (passwords: readonly { userId: string }[]) => passwords.map(({ userId }) => userId);

describe('MissingCodes', () => {
  it('gives each right password once, when its five minutes are over', () => {
    const missing = new MissingCodes();
    missing.add(passwordOf('a'), 0);
    missing.add(passwordOf('b'), 1_000);
    expect(idsOf(missing.take(299_999))).toEqual([]);
    expect(idsOf(missing.take(300_000))).toEqual(['a']);
    expect(idsOf(missing.take(301_000))).toEqual(['b']);
    expect(idsOf(missing.take(Number.POSITIVE_INFINITY))).toEqual([]);
  });

  it('gives the oldest before their time where there are more than a thousand', () => {
    const missing = new MissingCodes();
    for (let n = 0; n < 1_002; n += 1) missing.add(passwordOf(String(n)), n);
    expect(idsOf(missing.take(1_002))).toEqual(['0', '1']);
    expect(missing.take(Number.POSITIVE_INFINITY)).toHaveLength(1_000);
  });

  it('keeps three of one user, so that they push out those of no other', () => {
    const missing = new MissingCodes();
    missing.add(passwordOf('other'), 0);
    for (let n = 0; n < 2_000; n += 1) missing.add(passwordOf('one'), n);
    expect(idsOf(missing.take(2_000))).toEqual([]);
    expect(idsOf(missing.take(Number.POSITIVE_INFINITY))).toEqual(['other', 'one', 'one', 'one']);
  });
});
