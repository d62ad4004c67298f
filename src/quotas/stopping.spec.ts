import { beforeEach, describe, expect, it } from '@jest/globals';
import { call, KEY, Stage } from '../../test/simulation/lease-manager-stage.js';
import type { LeaseStats } from './lease-manager-options.js';

describe('a lease manager that stops', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
    stage.model.createKey(KEY, 10_000n, 'total');
  });

  it('waits for asks under way, and what they granted is handed back', async () => {
    void stage.leaseManager.admit(call({ reserve: 10n, windows: [{ id: KEY, window: 'minute', limit: 100 }] }));
    await stage.pass(1);
    expect(stage.leaseManager.stats().calls).toBe(1);
    let left: LeaseStats | null = null;
    void stage.leaseManager.stop().then(() => (left = stage.leaseManager.stats()));
    await stage.pass(1);
    expect(left).toBeNull();
    await stage.pass(200);
    expect(left).toMatchObject({ calls: 0, returns: 0 });
    expect([...stage.model.accounts.values()][0]?.leased).toBe(0n);
  });

  it('waits no longer than its time where an ask hangs', async () => {
    stage.isHung = true;
    void stage.leaseManager.admit(call({ reserve: 10n }));
    await stage.pass(1);
    let isOver = false;
    void stage.leaseManager.stop(500).then(() => (isOver = true));
    await stage.pass(499);
    expect(isOver).toBe(false);
    await stage.pass(1);
    expect(isOver).toBe(true);
  });
});
