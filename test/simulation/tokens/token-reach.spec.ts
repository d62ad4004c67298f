import { describe, expect, it } from '@jest/globals';
import { LeaseManager } from '../../../src/quotas/lease-manager.js';
import { MOST_OF_WINDOW, type QuotaStore } from '../../../src/quotas/quota-store.js';
import { EventQueue } from '../event-queue.js';
import { Random, uuidOf } from '../random.js';
import type { TokenReachFault } from './token-fault.js';
import { TokenStoreModel } from './token-store-model.js';

const START = Date.UTC(2026, 0, 1);
const LIMIT = 300_000;
const ID = uuidOf(0xd001);

/**
 * Which part of a limit three replicas let through, of calls that reserve 500 tokens and use as many, at 1.3 times what
 * is allowed.
 */
async function reach(fault: TokenReachFault | null): Promise<number> {
  const events = new EventQueue();
  const random = new Random(11);
  const store = new TokenStoreModel(() => Math.floor(START + events.now), fault);
  store.amounts.set(ID, LIMIT);
  const after = <T>(act: () => T): Promise<T> =>
    new Promise((resolve) =>
      events.at(events.now + 3, () => {
        const answer = act();
        events.at(events.now + 3, () => resolve(answer));
      }),
    );
  const wire: QuotaStore = {
    acquire: (request) => after(() => ({ budgets: [], windows: store.acquire(request) })),
    giveBack: (back) => after(() => store.giveBack(back)),
    settle: () => Promise.reject(new Error('not here')),
    closeExpired: () => Promise.reject(new Error('not here')),
  };
  const clock = {
    monotonicMs: () => events.now,
    wallMs: () => START + events.now,
    after: (delayMs: number, run: () => void) => events.at(events.now + delayMs, run),
  };
  let ids = 0;
  const replicas = ['one', 'two', 'three'].map((replicaId) => {
    const replica = new LeaseManager(wire, clock, () => uuidOf(++ids), { replicaId });
    replica.setLiveReplicas(3);
    return replica;
  });
  const windows = [
    { id: ID, window: 'minute' as const, limit: MOST_OF_WINDOW, of: { id: ID, member: null, unit: 'tokens' as const } },
  ];
  const request = { accounts: [], windows, cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
  let admitted = 0;
  const call = (): void => {
    void Promise.resolve(random.pick(replicas).admit({ ...request, reserveTokens: 500n })).then((verdict) => {
      if (verdict.admitted && events.now >= 120_000) admitted += 500;
    });
    events.at(events.now + (60_000 / (LIMIT / 500) / 1.3) * 2 * random.next(), call);
  };
  call();
  // The first minutes begin with an empty window.
  for (let run = events.next(360_000); run !== null; run = events.next(360_000)) {
    run();
    for (let turn = 0; turn < 4; turn++) await Promise.resolve();
  }
  return admitted / (4 * LIMIT);
}

describe('of a limit of tokens by minute', () => {
  it('at least 95 % can be used, and no more than all of it', async () => {
    const part = await reach(null);
    expect(part).toBeGreaterThanOrEqual(0.95);
    expect(part).toBeLessThanOrEqual(1);
  });

  it('less can be used from a store with the fault leases-live-for-15-seconds', async () => {
    expect(await reach('leases-live-for-15-seconds')).toBeLessThan(0.95);
  });
});
