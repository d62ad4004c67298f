import { describe, expect, it } from '@jest/globals';
import type { QuotaStore } from '../../src/quotas/quota-store.js';
import { LeaseManager } from '../../src/quotas/lease-manager.js';
import { QuotaStoreModel } from './quota-store-model.js';
import { EventQueue } from './event-queue.js';
import { Random, uuidOf } from './random.js';

const MINUTES = 6;

/** Calls at `load` times the limit, over three replicas with nothing wrong; gives what part of the limit was used. */
async function reach(limit: number, load: number): Promise<{ part: number; refused: number }> {
  const events = new EventQueue();
  const random = new Random(limit);
  const start = Date.UTC(2026, 0, 1);
  const model = new QuotaStoreModel(() => Math.floor(start + events.now));
  const wire = <T>(act: () => T): Promise<T> =>
    new Promise((resolve) => events.at(events.now + random.between(1, 5), () => resolve(act())));
  const store: QuotaStore = {
    acquire: (request) => wire(() => model.acquire(request)),
    giveBack: (back) => wire(() => model.giveBack(back)),
    settle: () => Promise.reject(new Error('no money here')),
    closeExpired: () => Promise.reject(new Error('no money here')),
  };
  const clock = {
    monotonicMs: () => events.now,
    wallMs: () => start + events.now,
    after: (delayMs: number, run: () => void) => events.at(events.now + delayMs, run),
  };
  const leaseManagers = ['one', 'two', 'three'].map(
    (replicaId) => new LeaseManager(store, clock, () => uuidOf(1), { replicaId }),
  );
  for (const leaseManager of leaseManagers) leaseManager.setLiveReplicas(3);
  const windows = [{ id: uuidOf(7), window: 'minute' as const, limit }];
  const request = { accounts: [], windows, cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false };
  let admitted = 0;
  let refused = 0;
  const gap = 60_000 / (limit * load);
  for (let at = 0; at < MINUTES * 60_000; at += gap) {
    events.at(at, () => {
      void Promise.resolve(random.pick(leaseManagers).admit(request)).then((verdict) =>
        verdict.admitted ? admitted++ : refused++,
      );
    });
  }
  for (let run = events.next(MINUTES * 60_000); run !== null; run = events.next(MINUTES * 60_000)) {
    run();
    for (let turn = 0; turn < 4; turn++) await Promise.resolve();
  }
  return { part: admitted / (limit * MINUTES), refused };
}

describe('a rate limit over three replicas', () => {
  it.each([60, 600, 6_000])('of %i a minute refuses nothing at 0.9 of it', async (limit) => {
    expect(await reach(limit, 0.9)).toMatchObject({ refused: 0 });
  });

  it.each([
    [60, 1],
    [60, 10],
    [600, 1],
    [600, 10],
    [6_000, 3],
  ])('of %i a minute is reached to 95 %% at %i times as many calls', async (limit, load) => {
    expect((await reach(limit, load)).part).toBeGreaterThanOrEqual(0.95);
  });
});
