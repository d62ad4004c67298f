import { describe, expect, it } from '@jest/globals';
import { KEY, START, Stage, call } from '../../test/simulation/lease-manager-stage.js';
import type { Admission, Admitted } from './admission.js';
import type { Account } from './quota-store.js';
import type { SlotStore } from './slots/slot-store.js';

const MONTH_ENDS_MS = Date.UTC(2026, 6, 1) - START;

describe('a call of several accounts', () => {
  it('names the period in which it is admitted, also where it waits for a slot over its end', async () => {
    let delayMs = 350;
    const slots: SlotStore = {
      take: ({ calls }) =>
        new Promise((resolve) => {
          stage.events.at(stage.events.now + delayMs, () =>
            resolve({
              calls: calls.map(() => ({ granted: true })),
              ...{ month: '2026-07-01', clockMs: START + stage.events.now, admitForMs: 2_000 },
            }),
          );
          delayMs = 5;
        }),
      free: () => Promise.resolve(),
    };
    const stage = new Stage({}, slots);
    stage.model.createKey(KEY, 1_000n, 'monthly');
    await stage.pass(MONTH_ENDS_MS - 200);
    const limit = { id: 'streams', member: null, unit: 'slots' as const };
    const verdict = await stage.admit({
      accounts: [{ id: KEY, type: 'monthly' }],
      slots: { accounts: [{ id: 'streams', type: 'total', limit }], ttlSeconds: 60 },
    });
    expect(stage.events.now).toBeGreaterThan(MONTH_ENDS_MS);
    expect((verdict as Admitted).reservation?.holds[0]).toMatchObject({ accountId: KEY, period: '2026-07-01' });
  });

  it('is told of the narrowest of two exhausted limits of requests, whichever has answered first', async () => {
    const stage = new Stage();
    const [narrow, wide] = ['narrow', 'wide'].map((id): Account => {
      stage.model.createKey(id, 0n, 'total');
      return { id, type: 'total', limit: { id, member: null, unit: 'requests' } };
    }) as [Account, Account];
    void stage.leaseManager.admit(call({ accounts: [narrow] }));
    await stage.pass(2);
    const verdict = await stage.admit({ accounts: [narrow, wide] });
    expect(verdict).toMatchObject({ admitted: false, code: 'RATE_LIMITED', account: { id: 'narrow' } });
  });

  it('can be undone where its window was counted by the local share', async () => {
    const stage = new Stage({ shareReplicas: 2 });
    const accounts: Account[] = [{ id: KEY, type: 'total', limit: { id: 'day', member: null, unit: 'requests' } }];
    stage.model.createKey(KEY, 1_000n, 'total');
    // Until more is leased than one call takes.
    for (let calls = 0; calls < 20; calls++) await stage.admit({ accounts });
    while (stage.leaseManager.unusedOf(KEY).length === 0) await stage.admit({ accounts });
    stage.isCut = true;
    const verdict: Admission | null = await stage.admit({
      accounts,
      windows: [{ id: KEY, window: 'minute', limit: 10 }],
    });
    expect(verdict).toMatchObject({ admitted: true, degraded: true, counted: [{ amount: 1n }] });
  });
});
