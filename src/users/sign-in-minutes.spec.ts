import { describe, expect, it } from '@jest/globals';
import { SignInMinutes } from './sign-in-minutes.js';

const failure = (ip: string, userId: string | null = null) => ({
  ip,
  requestId: 'request',
  userId,
  reason: 'wrong-password' as const,
});

describe('SignInMinutes', () => {
  it('gives one row a minute and address, with how often and which accounts', () => {
    const minutes = new SignInMinutes();
    for (let index = 0; index < 500; index += 1) minutes.count(failure('192.0.2.1', `user-${index % 3}`), index);
    minutes.count({ ...failure('192.0.2.1'), reason: 'throttled' }, 600);
    minutes.count(failure('192.0.2.2'), 700);
    expect(minutes.close(59_999)).toEqual([]);
    expect(minutes.close(61_000)).toEqual([
      {
        ip: '192.0.2.1',
        requestId: 'request',
        reasons: { 'wrong-password': 500, throttled: 1 },
        userIds: ['user-0', 'user-1', 'user-2'],
        isShared: false,
      },
      { ip: '192.0.2.2', requestId: 'request', reasons: { 'wrong-password': 1 }, userIds: [], isShared: false },
    ]);
    expect(minutes.close(Number.POSITIVE_INFINITY)).toEqual([]);
  });

  it('gives at most 21 rows a minute for any number of addresses and accounts, and loses no count', () => {
    const minutes = new SignInMinutes();
    for (let index = 0; index < 5_000; index += 1)
      minutes.count(failure(`10.0.${index >> 8}.${index & 255}`, `user-${index}`), 0);
    const rows = minutes.close(60_000);
    expect(rows).toHaveLength(21);
    expect(rows.reduce((sum, { reasons }) => sum + reasons['wrong-password']!, 0)).toBe(5_000);
    expect(rows.at(-1)).toMatchObject({ isShared: true, reasons: { 'wrong-password': 4_980 } });
    expect(Math.max(...rows.map(({ userIds }) => userIds.length))).toBe(20);
  });
});
