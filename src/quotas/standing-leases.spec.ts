import { beforeEach, describe, expect, it } from '@jest/globals';
import { EventQueue } from '../../test/simulation/event-queue.js';
import { QuotaStoreModel } from '../../test/simulation/quota-store-model.js';
import type { Admission, Admitted } from './admission.js';
import { LeaseManager } from './lease-manager.js';
import type { LeaseManagerOptions } from './lease-manager-options.js';
import type { AcquireRequest, PermitReturn, QuotaStore, RateWindow } from './quota-store.js';
import type { WindowBook } from './window-book.js';

const KEY = '00000000-0000-4000-8000-000000000001';
const START = Date.UTC(2026, 5, 15);
const HOUR_MS = 3_600_000;

/** A lease manager before the model of the store, on virtual time, over a wire of 5 ms. */
class Stage {
  readonly events = new EventQueue();
  readonly store = new QuotaStoreModel(() => Math.floor(START + this.events.now));
  readonly asks: AcquireRequest[] = [];
  readonly backs: PermitReturn[][] = [];
  readonly leaseManager: LeaseManager;
  isPolling = true;
  isEven = true;
  isCut = false;
  wallOffset = 0;

  constructor(options: Partial<LeaseManagerOptions> = {}) {
    const store: QuotaStore = {
      acquire: (request) => {
        this.asks.push(request);
        return this.wire(() => this.store.acquire(request));
      },
      giveBack: (back) => {
        this.backs.push([...back.windows]);
        return this.wire(() => this.store.giveBack(back));
      },
      settle: () => Promise.reject(new Error('not here')),
      closeExpired: () => Promise.reject(new Error('not here')),
    };
    const clock = {
      monotonicMs: () => this.events.now,
      wallMs: () => START + this.events.now + this.wallOffset,
      after: (delayMs: number, run: () => void) => this.events.at(this.events.now + delayMs, run),
    };
    this.leaseManager = new LeaseManager(store, clock, () => KEY, { replicaId: 'one', standAfterMs: 0, ...options });
    this.poll();
  }

  private poll(): void {
    if (this.isPolling) this.leaseManager.onPolled({ sentMs: this.events.now, isClockEven: this.isEven, full: [] });
    this.isEven = true;
    this.events.at(this.events.now + 1_000, () => this.poll());
  }

  private wire<T>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { isCut } = this;
      this.events.at(this.events.now + 5, () => (isCut ? reject(new Error('cut')) : resolve(act())));
    });
  }

  async pass(ms: number): Promise<void> {
    const until = this.events.now + ms;
    for (let run = this.events.next(until); run !== null; run = this.events.next(until)) {
      run();
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    this.events.now = until;
  }

  admit(limit: number, id = KEY, cost = 1): Admission | Promise<Admission> {
    return this.leaseManager.admit({
      ...{ accounts: [], windows: minute(limit, id), cost, reserve: 0n, ttlSeconds: 60, isDefaultHold: false },
    });
  }

  /** The verdict, and whether memory had it. */
  async ask(limit: number, id = KEY): Promise<{ admitted: boolean; waited: boolean }> {
    const verdict = this.admit(limit, id);
    let decided = verdict instanceof Promise ? null : verdict;
    if (verdict instanceof Promise) void verdict.then((admission) => (decided = admission));
    for (let passed = 0; passed < 1_200 && decided === null; passed += 5) await this.pass(5);
    return { admitted: decided?.admitted === true, waited: verdict instanceof Promise };
  }

  /** What the store counts of the key in the current minute and ahead of it. */
  get counted(): number {
    return this.store.rows.get(KEY)?.rings.minute.sum ?? 0;
  }
}

function minute(limit: number, id = KEY): RateWindow[] {
  return [{ id, window: 'minute', limit }];
}

describe('permits of a key that is far from its limit', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });

  it('are waited for once, however rarely the key is used', async () => {
    const waited: boolean[] = [];
    for (let call = 0; call < 20; call++) {
      waited.push((await stage.ask(6_000)).waited);
      await stage.pass(7 * 60_000);
    }
    expect(waited).toEqual([true, ...Array.from({ length: 19 }, () => false)]);
  });

  it('stay in memory as long as their lease lives, and no longer', async () => {
    await stage.ask(6_000);
    await stage.pass(HOUR_MS / 2);
    expect(stage.leaseManager.stats().entries).toBe(1);
    await stage.pass(HOUR_MS);
    expect(stage.leaseManager.stats()).toMatchObject({ entries: 0, returns: 0 });
  });

  it('are free again when the process stops, but for those that were used lately', async () => {
    for (let call = 0; call < 30; call++) {
      await stage.ask(6_000);
      await stage.pass(20_000);
    }
    void stage.leaseManager.stop();
    await stage.pass(2_000);
    // Three of the last minute, and what half a lease had used when the last refill told it.
    expect(stage.counted).toBeLessThanOrEqual(3 + 30 / 2);
    expect(stage.counted).toBeGreaterThanOrEqual(3);
    await stage.pass(2 * 60_000);
    expect(stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 6_000 })).toBeNull();
  });

  it('are asked for as many as the process has given out, and one', async () => {
    for (let call = 0; call < 6; call++) {
      await stage.ask(60_000);
      await stage.pass(60_000);
    }
    const asks = stage.asks.flatMap(({ windows }) => windows);
    expect(asks.map(({ want, needs }) => want - needs.length).every((ahead) => ahead >= 1 && ahead <= 7)).toBe(true);
  });

  it('stand in no process that has just started, and only while the clock of the store is seen', async () => {
    for (const options of [{ standAfterMs: 60_000 }, {}]) {
      const other = new Stage(options);
      if (options.standAfterMs === undefined) {
        other.isPolling = false;
        await other.pass(20_000);
      }
      await other.ask(6_000);
      await other.pass(60_000);
      expect(other.asks.flatMap(({ windows }) => windows).every(({ few }) => few === 0)).toBe(true);
      expect(other.leaseManager.stats().entries).toBe(0);
    }
  });

  it('are not used 15 s after the last poll', async () => {
    await stage.ask(6_000);
    await stage.pass(5_000);
    stage.isPolling = false;
    await stage.pass(14_000);
    expect(stage.admit(6_000)).not.toBeInstanceOf(Promise);
    await stage.pass(2_000);
    expect(stage.admit(6_000)).toBeInstanceOf(Promise);
  });

  it('are dropped, memory first, when the clock of the store has stepped', async () => {
    await stage.ask(6_000);
    await stage.pass(5_000);
    const before = stage.asks.length;
    stage.isEven = false;
    await stage.pass(1_100);
    expect(stage.backs.flat()).toMatchObject([{ granted: 2, used: 1 }]);
    expect(stage.asks).toHaveLength(before);
    expect(await stage.ask(6_000)).toEqual({ admitted: true, waited: true });
    expect(stage.asks).toHaveLength(before + 1);
    // What the clock did before is no reason to drop what was granted since.
    await stage.pass(5_000);
    expect(await stage.ask(6_000)).toEqual({ admitted: true, waited: false });
  });

  it('are dropped at a feed entry and handed back', async () => {
    await stage.ask(6_000);
    await stage.pass(5_000);
    stage.leaseManager.dropKey(KEY);
    expect(stage.admit(6_000)).toBeInstanceOf(Promise);
    await stage.pass(50);
    expect(stage.backs.flat()).toMatchObject([{ granted: 2, used: 1 }]);
  });

  it.each(['a feed entry', 'a suspension', 'another epoch'])(
    'are not used if they were asked for before %s',
    async (what) => {
      await stage.ask(6_000);
      await stage.ask(6_000);
      const before = stage.asks.length;
      for (let waited = 0; stage.asks.length === before && waited < 200; waited++) await stage.pass(1);
      // The refill is under way.
      expect(stage.asks.at(-1)?.windows[0]?.needs).toEqual([]);
      if (what === 'a feed entry') stage.leaseManager.dropKey(KEY);
      else if (what === 'a suspension') stage.wallOffset = 2_000;
      else stage.leaseManager.dropAll();
      await stage.pass(10);
      expect(stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 6_000 })).toBeNull();
      await stage.pass(4_000);
      // All that was granted has gone back, but for the two that were used.
      expect(stage.counted).toBe(2);
    },
  );

  it('are not used under a lower limit than that under which they were granted', async () => {
    await stage.ask(6_000);
    await stage.pass(5_000);
    expect(stage.admit(5_999)).toBeInstanceOf(Promise);
  });

  it('go back when the key makes room for another', async () => {
    const small = new Stage({ maxEntries: 10 });
    for (let key = 0; key < 30; key++) {
      const id = KEY.slice(0, -2) + String(10 + key);
      expect(await small.ask(6_000, id)).toMatchObject({ admitted: true });
      await small.pass(100);
    }
    expect(small.leaseManager.stats().entries).toBeLessThanOrEqual(10);
    expect(small.backs.flat().length).toBeGreaterThanOrEqual(20);
  });

  it('go back in statements of 200 when the process stops', async () => {
    for (let key = 0; key < 450; key++) void stage.admit(6_000, KEY.slice(0, -3) + String(100 + key));
    await stage.pass(1_000);
    await Promise.all([stage.leaseManager.stop(), stage.pass(100)]);
    expect(stage.backs.map(({ length }) => length)).toEqual([200, 200, 50]);
  });
});

describe('a call that is undone', () => {
  it('gives back to the newer of two leases only what it took of it', async () => {
    const stage = new Stage();
    for (let call = 0; call < 6; call++) await stage.ask(6_000);
    // Until permits are asked for ahead, while some are left.
    const isRefilling = () => stage.asks.at(-1)?.windows[0]?.needs.length === 0;
    for (let call = 0; call < 50 && !isRefilling(); call++) {
      await stage.pass(60_000);
      await stage.ask(6_000);
      await stage.pass(51);
    }
    const window = { id: KEY, window: 'minute' as const, limit: 6_000 };
    const entry = (stage.leaseManager as unknown as { windows: WindowBook }).windows.find(window)!;
    const left = entry.remaining(stage.events.now);
    const waited = stage.admit(6_000, KEY, left + 1);
    expect([left > 0, waited instanceof Promise]).toEqual([true, true]);
    await stage.pass(20);
    const { counted } = (await waited) as Admitted;
    expect(counted).toMatchObject([{ cost: 1 }]);
    const { granted } = entry.lease!;
    expect(entry.remaining(stage.events.now)).toBe(granted - 1);
    stage.leaseManager.uncount(counted!);
    expect(entry.remaining(stage.events.now)).toBe(granted);
  });
});

describe('what is known of a window', () => {
  it('is what was used from memory, once the answer is older than what it tells of', async () => {
    const stage = new Stage();
    const known = () => stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 60 });
    // Fifty calls of another replica.
    const needs = Array.from({ length: 50 }, () => 1);
    const ask = { id: KEY, window: 'minute' as const, limit: 60, want: 0, few: 0, needs, previous: null };
    stage.store.acquire({ replicaId: 'two', liveReplicas: 1, budgets: [], windows: [ask] });
    await stage.ask(60);
    expect(known()?.remaining).toBe(9);
    await stage.pass(50_000);
    expect(known()?.remaining).toBe(9);
    await stage.pass(30 * 60_000);
    expect(known()).toEqual({ limit: 60, remaining: 60, resetMs: 0 });
    await stage.ask(60);
    // What the lease in memory has given out, however long ago.
    expect(known()?.remaining).toBe(58);
  });
});

describe('a refill', () => {
  it('refuses no call when the store has none to spare', async () => {
    const stage = new Stage();
    const admitted: boolean[] = [];
    for (let call = 0; call < 80; call++) {
      admitted.push((await stage.ask(80)).admitted);
      await stage.pass(60);
    }
    expect(admitted.every(Boolean)).toBe(true);
    expect(stage.leaseManager.stats().refillsDropped).toBeGreaterThan(0);
    expect(await stage.ask(80)).toMatchObject({ admitted: false });
  });

  it('is dropped while the store cannot be reached, and refuses no call', async () => {
    const stage = new Stage();
    for (let call = 0; call < 40; call++) {
      await stage.ask(60_000);
      await stage.pass(50);
    }
    stage.isCut = true;
    const before = stage.leaseManager.stats().refillsDropped;
    for (let call = 0; call < 200 && stage.leaseManager.stats().refillsDropped === before; call++) {
      expect(stage.admit(60_000)).toMatchObject({ admitted: true });
      await stage.pass(20);
    }
    expect(stage.leaseManager.stats().refillsDropped).toBe(before + 1);
    expect(stage.admit(60_000)).toMatchObject({ admitted: true });
  });

  it('that fails does not open the local share: the store may be well', async () => {
    const stage = new Stage({ shareReplicas: 4 });
    await stage.ask(60_000);
    await stage.ask(60_000);
    stage.isCut = true;
    const before = stage.leaseManager.stats().refillsDropped;
    for (let waited = 0; stage.leaseManager.stats().refillsDropped === before && waited < 200; waited++)
      await stage.pass(1);
    stage.isCut = false;
    // It waits for the store, and is not counted by a share.
    expect(await stage.ask(60_000, KEY.slice(0, -1) + '2')).toEqual({ admitted: true, waited: true });
  });

  it('that met a locked row leaves what is known, and what it was to close is handed back', async () => {
    const stage = new Stage();
    await stage.ask(6_000);
    await stage.ask(6_000);
    const known = () => stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 6_000 });
    const before = known();
    const acquire = stage.store.acquire.bind(stage.store);
    stage.store.acquire = ({ windows }) => ({
      budgets: [],
      windows: windows.map(() => {
        return { verdicts: [], permits: 0, bucket: 0, validForMs: 0, free: 0, resetMs: 0, retryMs: 0 };
      }),
    });
    const { refillsDropped } = stage.leaseManager.stats();
    for (let waited = 0; stage.leaseManager.stats().refillsDropped === refillsDropped && waited < 200; waited++)
      await stage.pass(1);
    stage.store.acquire = acquire;
    expect(known()).toEqual(before);
    await stage.pass(1_000);
    expect(stage.backs.flat()).toMatchObject([{ granted: 2, used: 2 }]);
  });

  it('is asked for under the newest record of the key', async () => {
    const stage = new Stage();
    await stage.ask(6_000);
    await stage.ask(6_000);
    stage.leaseManager.dropKey(KEY);
    await stage.ask(3_000);
    await stage.ask(3_000);
    for (let waited = 0; stage.asks.at(-1)?.windows[0]?.needs.length !== 0 && waited < 200; waited++)
      await stage.pass(1);
    expect(stage.asks.at(-1)?.windows).toMatchObject([{ id: KEY, limit: 3_000, needs: [] }]);
  });

  it('goes after everything that calls wait for', async () => {
    const stage = new Stage();
    await stage.ask(6_000);
    await stage.ask(6_000);
    // Before the refill is sent, other keys wait: one statement for them, and then the refill.
    await stage.pass(49);
    const before = stage.asks.length;
    for (let key = 0; key < 450; key++) void stage.admit(6_000, KEY.slice(0, -3) + String(100 + key));
    await stage.pass(100);
    const sent = stage.asks.slice(before).map(({ windows }) => windows.some(({ needs }) => needs.length === 0));
    expect(sent.indexOf(true)).toBe(3);
  });

  it('goes after calls whose statement is still being collected when it is due', async () => {
    const stage = new Stage();
    await stage.ask(6_000);
    await stage.ask(6_000);
    await stage.pass(49);
    const before = stage.asks.length;
    const others = [KEY.slice(0, -1) + '2', KEY.slice(0, -1) + '3'];
    // The first is sent at once, the second within 2 ms, and the refill is due in one.
    void stage.admit(6_000, others[0]);
    await stage.pass(0);
    void stage.admit(6_000, others[1]);
    await stage.pass(100);
    const sent = stage.asks.slice(before).map(({ windows }) => windows[0]?.id);
    expect(sent).toEqual([...others, KEY]);
  });

  it('never closes what is still drawn from', async () => {
    const stage = new Stage();
    for (let call = 0; call < 200; call++) {
      expect(await stage.ask(60_000)).toMatchObject({ admitted: true });
      await stage.pass(30);
    }
    const held = stage.leaseManager.findWindow({ id: KEY, window: 'minute', limit: 60_000 });
    // All that is counted was used, or is in memory.
    expect(held?.remaining).toBe(60_000 - 200);
  });
});
