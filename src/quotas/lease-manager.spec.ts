import { beforeEach, describe, expect, it } from '@jest/globals';
import { KEY, START, Stage, call } from '../../test/simulation/lease-manager-stage.js';
import type { AdmitRequest, Admitted } from './admission.js';
import { PermitLease } from './lease.js';

describe('a lease manager', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
    stage.model.createKey(KEY, 1_000_000n, 'total');
  });
  const minute = (limit: number): AdmitRequest['windows'] => [{ id: KEY, window: 'minute', limit }];

  it('answers at once, and not by a promise, what its memory covers', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ windows: minute(10_000) });
    let asked = stage.calls.length;
    while (stage.calls.length === asked) await stage.admit({ windows: minute(10_000) });
    await stage.pass(100);
    asked = stage.calls.length;
    for (let calls = 0; calls < 10; calls++)
      expect(stage.leaseManager.admit(call({ windows: minute(10_000) }))).not.toBeInstanceOf(Promise);
    expect(stage.calls.length).toBe(asked);
  });

  it('asks less than once in ten calls for a key in steady use', async () => {
    for (let calls = 0; calls < 200; calls++) await stage.admit({ reserve: 10n, windows: minute(10_000) });
    expect(stage.calls.length).toBeLessThan(20);
  });

  it('asks for many callers and many keys in one call', async () => {
    for (let key = 2; key < 52; key++) {
      const id = KEY.replace(/1$/, '') + String(key).padStart(2, '0').slice(-1);
      stage.model.createKey(id, 1_000n, 'total');
      void stage.leaseManager.admit(call({ accounts: [{ id, type: 'total' }], reserve: 1n }));
    }
    await stage.pass(20);
    expect(stage.calls).toHaveLength(1);
  });

  it('admits a call that holds nothing as long as something is left, and refuses it when nothing is', async () => {
    stage.model.createKey(KEY, 10n, 'total');
    expect(await stage.admit({})).toMatchObject({ admitted: true, reservation: null });
    expect(await stage.admit({ reserve: 10n })).toMatchObject({ admitted: true });
    expect(await stage.admit({})).toMatchObject({ admitted: false, code: 'BUDGET_EXCEEDED', retryAfterMs: null });
  });

  it('always refuses with a limit of 0', async () => {
    stage.model.createKey(KEY, 0n, 'total');
    expect(await stage.admit({})).toMatchObject({ code: 'BUDGET_EXCEEDED' });
  });

  it('gives each waiter its own verdict, in order', async () => {
    stage.model.createKey(KEY, 10n, 'total');
    const verdicts: boolean[] = [];
    for (const reserve of [6n, 5n, 4n])
      void Promise.resolve(stage.leaseManager.admit(call({ reserve }))).then(({ admitted }) => verdicts.push(admitted));
    await stage.pass(50);
    expect(verdicts).toEqual([true, false, true]);
  });

  it('remembers a refusal for 100 ms, and asks again after it', async () => {
    stage.model.createKey(KEY, 10n, 'total');
    await stage.admit({ reserve: 11n });
    expect(stage.leaseManager.admit(call({ reserve: 12n }))).toMatchObject({ code: 'BUDGET_EXCEEDED' });
    await stage.pass(101);
    stage.model.patch(KEY, 20n, 'total');
    expect(await stage.admit({ reserve: 12n })).toMatchObject({ admitted: true });
  });

  it('refuses a cost above the limit without asking and without a time to retry', () => {
    expect(stage.leaseManager.admit(call({ windows: minute(3), cost: 4 }))).toMatchObject({
      code: 'RATE_LIMITED',
      retryAfterMs: null,
      window: 'minute',
    });
    expect(stage.calls).toHaveLength(0);
  });

  it('says when a refused call may be tried again', async () => {
    for (let calls = 0; calls < 3; calls++) await stage.admit({ accounts: [], windows: minute(3) });
    const refusal = await stage.admit({ accounts: [], windows: minute(3) });
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED' });
    const retryAfterMs = refusal?.admitted === false ? refusal.retryAfterMs : null;
    expect(retryAfterMs).toBeGreaterThan(55_000);
    await stage.pass((retryAfterMs ?? 0) + 5);
    expect(await stage.admit({ accounts: [], windows: minute(3) })).toMatchObject({ admitted: true });
  });

  it('takes nothing from a window when the budget refuses', async () => {
    stage.model.createKey(KEY, 10n, 'total');
    for (let calls = 0; calls < 8; calls++) {
      await stage.admit({ reserve: 50n, windows: minute(5) });
      await stage.pass(150);
    }
    await stage.pass(20_000);
    const verdicts = [];
    for (let calls = 0; calls < 5; calls++)
      verdicts.push((await stage.admit({ reserve: 1n, windows: minute(5) }))?.admitted);
    expect(verdicts).toEqual([true, true, true, true, true]);
  });

  it('gives a long reservation a lease of its own and promises at least its time', async () => {
    const verdict = await stage.admit({ reserve: 5n, ttlSeconds: 900 });
    const reservation = verdict?.admitted ? verdict.reservation : null;
    expect(stage.model.leases.get(reservation?.holds[0]?.leaseId ?? '')?.kind).toBe('own');
    expect(reservation?.expiresAtMs).toBeGreaterThanOrEqual(START + 900_000);
    expect(stage.model.leases.get(reservation?.holds[0]?.leaseId ?? '')?.holdUntil).toBeGreaterThan(
      reservation?.expiresAtMs ?? Infinity,
    );
  });

  it('keeps default holds in leases of their own kind', async () => {
    const verdict = await stage.admit({ reserve: 5n, isDefaultHold: true });
    const reservation = verdict?.admitted ? verdict.reservation : null;
    expect(stage.model.leases.get(reservation?.holds[0]?.leaseId ?? '')?.kind).toBe('default');
  });

  it('is UNAVAILABLE within a second and a bit when the store hangs, never BUDGET_EXCEEDED', async () => {
    stage.isHung = true;
    expect(await stage.admit({ reserve: 1n }, 1_100)).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('does not pile calls upon a hung store', async () => {
    stage.isHung = true;
    for (let second = 0; second < 60; second++) await stage.admit({ reserve: 1n });
    expect(stage.calls.length).toBeLessThanOrEqual(8);
    expect(stage.leaseManager.stats()).toMatchObject({ waiting: 0 });
  });

  it('bounds its waiters', () => {
    stage = new Stage({ maxWaiters: 3 });
    const verdicts = Array.from({ length: 5 }, () => stage.leaseManager.admit(call({ reserve: 1n })));
    expect(verdicts.filter((verdict) => !(verdict instanceof Promise))).toHaveLength(2);
    expect(verdicts.at(-1)).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('bounds its memory of accounts and windows', async () => {
    stage = new Stage({ maxEntries: 10 });
    for (let key = 1; key <= 99; key++) {
      const id = KEY.slice(0, -2) + String(key).padStart(2, '0');
      stage.model.createKey(id, 100n, 'total');
      expect(
        await stage.admit({
          accounts: [{ id, type: 'total' }],
          windows: [{ id, window: 'hour', limit: 5 }],
          reserve: 1n,
        }),
      ).toMatchObject({ admitted: true });
      expect(stage.leaseManager.stats().entries).toBeLessThanOrEqual(20);
    }
  });

  it('forgets accounts that nobody uses', async () => {
    await stage.admit({ reserve: 5n, windows: minute(5) });
    await stage.pass(60_000);
    expect(stage.leaseManager.stats()).toMatchObject({ entries: 0, waiting: 0, calls: 0, returns: 0 });
    expect(stage.events.size).toBe(0);
  });

  it('hands back what is idle within two seconds', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    expect([...stage.model.accounts.values()][0]?.leased).toBeGreaterThan(200n);
    await stage.pass(2_000);
    expect([...stage.model.accounts.values()][0]?.leased).toBe(200n);
  });

  it('sends a return until it has arrived, and permits once', async () => {
    for (let calls = 0; calls < 30; calls++) await stage.admit({ reserve: 10n, windows: minute(300) });
    stage.isCut = true;
    await stage.pass(4_000);
    stage.isCut = false;
    await stage.pass(2_000);
    expect([...stage.model.accounts.values()][0]?.leased).toBe(300n);
    expect(stage.backs.filter(({ windows }) => windows.length > 0)).toHaveLength(1);
    expect(stage.backs.filter(({ leases }) => leases.length > 0).length).toBeGreaterThan(3);
  });

  it('asks once in fifteen seconds for a key that is used rarely and is far from its limit', async () => {
    let asks = 0;
    for (let second = 0; second < 60; second += 4) {
      const asked = stage.calls.flatMap(({ windows }) => windows).length;
      expect(await stage.admit({ accounts: [], windows: minute(10_000) })).toMatchObject({ admitted: true });
      await stage.pass(2_800);
      asks += stage.calls.flatMap(({ windows }) => windows).length - asked;
    }
    expect(asks).toBeLessThanOrEqual(6);
    expect(stage.backs).toHaveLength(0);
    await stage.pass(60_000);
    // What was left of the last leases went back when the key was forgotten, all else with the asks.
    expect(stage.backs.flatMap(({ windows }) => windows).length).toBeLessThanOrEqual(2);
    expect([...stage.model.rows.values()][0]?.rings.hour.sum).toBe(0);
    expect(stage.leaseManager.stats()).toMatchObject({ entries: 0, returns: 0 });
  });

  it('asks for what it needs alone where a few permits are much of the limit', async () => {
    for (let second = 0; second < 20; second += 4) {
      await stage.admit({ accounts: [], windows: minute(60) });
      await stage.pass(2_800);
    }
    const asks = stage.calls.flatMap(({ windows }) => windows);
    expect(new Set(asks.filter(({ needs }) => needs.length > 0).map(({ want }) => want))).toEqual(new Set([0]));
    // Ahead, in the background, it asks for what two seconds used.
    expect(asks.every(({ want }) => want <= 1)).toBe(true);
  });

  it('renews what it knows of a budget when it asks for permits anyway', async () => {
    await stage.admit({});
    await stage.pass(6_000);
    await stage.admit({ windows: minute(10_000) });
    expect(stage.calls.map(({ budgets, windows }) => [budgets.length, windows.length])).toEqual([
      [1, 0],
      [1, 1],
    ]);
    await stage.pass(5_000);
    expect(stage.leaseManager.admit(call({}))).toMatchObject({ admitted: true });
  });

  it('lets needs share a statement while two are under way', async () => {
    stage.isHung = true;
    for (let key = 1; key <= 5; key++) {
      const id = KEY.replace(/.$/, String(key));
      void stage.leaseManager.admit(call({ accounts: [{ id, type: 'total' }], reserve: 1n }));
      await stage.pass(key <= 2 ? 4 : 2);
    }
    expect(stage.calls.map(({ budgets }) => budgets.length)).toEqual([1, 1]);
    await stage.pass(10);
    expect(stage.calls.map(({ budgets }) => budgets.length)).toEqual([1, 1, 3]);
  });

  it('drops a key’s leases, permits and knowledge at a feed entry', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n, windows: minute(1_000) });
    stage.leaseManager.dropKey(KEY);
    expect(stage.leaseManager.admit(call({ reserve: 1n }))).toBeInstanceOf(Promise);
    expect(stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 1_000 })).toBeNull();
    // Only what was admitted stays leased, and what the call above has asked for.
    await stage.pass(20);
    expect([...stage.model.leases.values()].filter((lease) => lease.returns === 0 && lease.granted > 10n)).toHaveLength(
      1,
    );
  });

  it('takes no grant that was asked for before a feed entry, but the waiting call is served', async () => {
    const verdict = stage.leaseManager.admit(call({ reserve: 10n }));
    await stage.pass(2);
    stage.leaseManager.dropKey(KEY);
    await stage.pass(100);
    expect(await verdict).toMatchObject({ admitted: true });
    expect(stage.calls).toHaveLength(2);
  });

  it('asks for nothing for 10 s in another epoch', async () => {
    await stage.admit({ reserve: 10n });
    const asked = stage.calls.length;
    stage.leaseManager.dropAll();
    await stage.pass(9_000);
    expect(stage.leaseManager.admit(call({ reserve: 1n }))).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 1_000 });
    expect(stage.calls.length).toBe(asked);
    await stage.pass(1_001);
    expect(await stage.admit({ reserve: 1n })).toMatchObject({ admitted: true });
  });

  it('asks again before that once it is shown that no lease is missing', async () => {
    await stage.admit({ reserve: 10n });
    stage.leaseManager.dropAll();
    await stage.pass(700);
    expect(stage.leaseManager.admit(call({ reserve: 1n }))).toMatchObject({ code: 'UNAVAILABLE' });
    stage.leaseManager.resume();
    expect(await stage.admit({ reserve: 1n })).toMatchObject({ admitted: true });
  });

  it('hands leases back only when it has been seen which the new history has, or after 3 s', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    const before = stage.backs.length;
    stage.leaseManager.dropAll();
    await stage.pass(2_900);
    expect(stage.backs.length).toBe(before);
    stage.leaseManager.handBackNow();
    expect(stage.backs.length).toBe(before + 1);
  });

  it('hands leases back by itself after 3 s where none has looked', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    const before = stage.backs.length;
    stage.leaseManager.dropAll();
    await stage.pass(3_200);
    expect(stage.backs.length).toBeGreaterThan(before);
  });

  it('drops what it holds when wall and monotonic clock part', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    stage.wallOffset = 1_500;
    expect(stage.leaseManager.admit(call({ reserve: 1n }))).toBeInstanceOf(Promise);
  });

  it('hands everything back when it stops, and refuses from then on', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    let isOver = false;
    void stage.leaseManager.stop().then(() => (isOver = true));
    await stage.pass(100);
    expect(isOver).toBe(true);
    expect([...stage.model.accounts.values()][0]?.leased).toBe(200n);
    expect(stage.leaseManager.admit(call({}))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('counts a share of the limit by itself while the store is away, where that is allowed', async () => {
    stage = new Stage({ shareReplicas: 4 });
    stage.isCut = true;
    const verdicts = [];
    for (let calls = 0; calls < 5; calls++) verdicts.push(await stage.admit({ accounts: [], windows: minute(12) }));
    expect(verdicts.map((verdict) => verdict?.admitted)).toEqual([true, true, true, false, false]);
    expect(verdicts[0]).toMatchObject({ degraded: true });
    expect(await stage.admit({ reserve: 1n, windows: minute(1_000) })).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('names the first account in the order of the call that refuses, whichever answered first', async () => {
    const limits = ['a', 'b'].map((name): AdmitRequest['accounts'][number] => {
      stage.model.createKey(name, 10n, 'total');
      return { id: name, type: 'total', limit: { id: name, member: null } };
    });
    const [narrow, wide] = limits;
    // The wide one is asked for first, so its answer comes first in the statement that both are in.
    void stage.leaseManager.admit(call({ accounts: [wide!], reserve: 11n }));
    expect(await stage.admit({ accounts: limits, reserve: 11n })).toMatchObject({
      code: 'BUDGET_EXCEEDED',
      account: narrow,
    });
  });

  it('knows a budget and a window as of the last acquire', async () => {
    await stage.admit({ reserve: 10n, windows: minute(50) });
    expect(stage.leaseManager.findBudget({ id: KEY, type: 'total' })).toEqual({
      period: 'total',
      endsAtMs: null,
      limit: 1_000_000n,
      spent: 0n,
      raise: 0n,
      leased: 10n,
    });
    expect(stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 50 })).toMatchObject({
      limit: 50,
      remaining: 49,
    });
  });

  it('tells what reservations hold apart from what it has set aside', async () => {
    for (let calls = 0; calls < 20; calls++) await stage.admit({ reserve: 10n });
    const { leased } = [...stage.model.accounts.values()][0]!;
    const unused = stage.leaseManager.unusedOf(KEY).reduce((sum, { amount }) => sum + amount, 0n);
    expect(unused).toBeGreaterThan(0n);
    expect(leased - unused).toBe(200n);
    expect(stage.leaseManager.findBudget({ id: KEY, type: 'total' })?.leased).toBe(200n);
  });

  it('asks again after a refusal once something was freed, also where the refusal was under way', async () => {
    const all = { reserve: 1_000_000n };
    await stage.admit(all);
    expect(await stage.admit({ reserve: 10n })).toMatchObject({ code: 'BUDGET_EXCEEDED' });
    const asked = stage.calls.length;
    expect(await stage.admit({ reserve: 10n })).toMatchObject({ code: 'BUDGET_EXCEEDED' });
    expect(stage.calls.length).toBe(asked);
    stage.leaseManager.noteFreed(KEY);
    const underWay = stage.admit({ reserve: 10n });
    expect(stage.calls.length).toBe(asked + 1);
    await stage.pass(2);
    stage.leaseManager.noteFreed(KEY);
    expect(await underWay).toMatchObject({ code: 'BUDGET_EXCEEDED' });
    await stage.admit({ reserve: 10n });
    expect(stage.calls.length).toBe(asked + 2);
  });

  describe('a rate window', () => {
    const windows = [{ id: KEY, window: 'minute' as const, limit: 60_000 }];
    const remaining = () => stage.leaseManager.findWindow(windows[0]!)?.remaining;

    it('forgets a call that waited and is undone, also where it was one of several', async () => {
      const calls = [3, 1].map(async (cost) => stage.leaseManager.admit(call({ accounts: [], windows, cost })));
      await stage.pass(20);
      const [first, second] = (await Promise.all(calls)) as [Admitted, Admitted];
      expect(remaining()).toBe(60_000 - 4);
      stage.leaseManager.uncount(first.counted!);
      expect(remaining()).toBe(60_000 - 1);
      stage.leaseManager.uncount(second.counted!);
      expect(remaining()).toBe(60_000);
    });

    it('counts a call that is undone once the store was told of it', async () => {
      const { counted } = (await stage.admit({ accounts: [], windows })) as Admitted;
      stage.leaseManager.dropKey(KEY);
      stage.leaseManager.uncount(counted!);
      await stage.pass(100);
      await stage.admit({ accounts: [], windows });
      expect(remaining()).toBe(60_000 - 2);
    });

    it('undoes no call that a lease still in memory was told to have used', () => {
      const lease = new PermitLease(5, 1, 60, 15_000, 0, true);
      lease.draw(1, 0);
      const draw = { cost: 1, told: lease.told };
      expect(lease.closeUsed()).toEqual({ bucket: 1, granted: 1, used: 1 });
      lease.draw(1, 1);
      lease.undraw(draw);
      expect(lease.closeUsed()).toEqual({ bucket: 1, granted: 1, used: 1 });
    });
  });

  describe('a limit of requests', () => {
    const accounts = [
      { id: KEY, type: 'total' as const, limit: { id: 'limit', member: null, unit: 'requests' as const } },
    ];
    const returned = () => stage.backs.flatMap(({ leases }) => leases.map(({ amount }) => amount));

    it('counts a call as its cost, holds nothing, and closes a lease that was used up', async () => {
      expect(await stage.admit({ accounts, cost: 3, ttlSeconds: 300 })).toMatchObject({
        ...{ admitted: true, reservation: null, counted: [{ amount: 3n }] },
      });
      expect(stage.calls[0]!.budgets).toMatchObject([{ kind: 'counted', needs: [{ amount: 3n, own: null }] }]);
      await stage.pass(2_000);
      expect(returned()).toEqual([0n]);
    });

    it('forgets a call that is undone while its lease is here, and no call whose lease went back', async () => {
      const first = (await stage.admit({ accounts })) as Admitted;
      stage.leaseManager.uncount(first.counted!);
      await stage.pass(2_000);
      expect(returned()).toEqual([1n]);
      const second = (await stage.admit({ accounts })) as Admitted;
      await stage.pass(2_000);
      stage.leaseManager.uncount(second.counted!);
      await stage.pass(2_000);
      expect(returned()).toEqual([1n, 0n]);
      expect(await stage.admit({ accounts })).toMatchObject({ admitted: true });
    });
  });
});
