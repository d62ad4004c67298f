import { describe, expect, it } from '@jest/globals';
import { holdOfWindow, markOf, readMark, TokenLease, weightIn } from './token-windows.js';
import { NO_LEASE, type RateWindow } from './quota-store.js';
import { DemandEstimator } from './demand-estimator.js';
import { WindowEntry } from './window-entry.js';

const ID = '00000000-0000-4000-8000-00000000d001';
const EPOCH = '00000000000000ff';
const OF = { id: ID, member: null, unit: 'tokens' as const };
const lease = (granted: number): TokenLease => new TokenLease(EPOCH, granted, 42, 1_000, 1_000, 0, false);
const entry = (): WindowEntry => new WindowEntry(ID, 'minute', new DemandEstimator(), OF);

describe('a call in a window', () => {
  it('weighs its tokens where tokens are counted, and its cost elsewhere', () => {
    const window: RateWindow = { id: ID, window: 'minute', limit: 10, of: OF };
    const call = { cost: 3, reserveTokens: 500n };
    expect(weightIn(call, window)).toBe(500);
    expect(weightIn({ cost: 3 }, window)).toBe(0);
    expect(weightIn(call, { ...window, of: { id: ID, member: null, unit: 'requests' } })).toBe(3);
    expect(weightIn(call, { ...window, of: undefined })).toBe(3);
  });

  it('draws all of its tokens from one lease', () => {
    const one = entry();
    one.add(lease(10));
    one.add(lease(20));
    expect(one.covers(25, 1_000, true, 0)).toBe(false);
    expect(one.covers(15, 1_000, true, 0)).toBe(true);
    one.draw(15, 0);
    expect(one.lease!.remaining).toBe(5);
    // What was left of the first is told with the next acquire.
    expect(one.closeUsed(0)).toEqual([{ bucket: 42, granted: 10, used: 0, epoch: EPOCH }]);
  });
});

describe('a call of no tokens', () => {
  it('is covered while one is left, and draws nothing', () => {
    const one = entry();
    one.add(lease(1));
    expect(one.covers(0, 1_000, true, 0)).toBe(true);
    one.draw(0, 0);
    expect(one.lease!.remaining).toBe(1);
    one.draw(1, 0);
    expect(one.covers(0, 1_000, true, 0)).toBe(false);
  });
});

describe('a lease of tokens', () => {
  it('tells with its epoch what was not used, and nothing where all of it was', () => {
    const half = lease(10);
    half.draw(4, 0);
    expect(half.closeUsed()).toBeNull();
    expect(half.closeAll(0)).toEqual({ bucket: 42, granted: 10, used: 4, epoch: EPOCH });
    expect(half.closeAll(0)).toBeNull();
    const whole = lease(10);
    whole.draw(10, 0);
    expect(whole.closeAll(0)).toBeNull();
  });
});

describe('what a reservation says of a window', () => {
  it('is the epoch and the bucket of the lease', () => {
    const one = entry();
    one.add(lease(10));
    const hold = holdOfWindow(ID, one, 4);
    expect(hold).toEqual({ accountId: ID, period: 'window', leaseId: '00000000-0000-00ff-0000-00000000002a' });
    expect(readMark(hold.leaseId)).toEqual({ epoch: EPOCH, bucket: 42 });
  });

  it('is no bucket where nothing was drawn', () => {
    const one = entry();
    one.add(lease(10));
    expect(holdOfWindow(ID, one, 0).leaseId).toBe(NO_LEASE);
    expect(holdOfWindow(ID, null, 4).leaseId).toBe(NO_LEASE);
  });

  it.each([0, 42, 897_372_001, 2 ** 50])('reads bucket %d as it was written', (bucket) => {
    expect(readMark(markOf('fedcba9876543210', bucket))).toEqual({ epoch: 'fedcba9876543210', bucket });
  });
});
