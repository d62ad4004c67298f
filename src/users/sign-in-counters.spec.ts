import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Limit, SignInCounters, WINDOW_MS } from './sign-in-counters.js';

const LIMIT = 20;
const limits: readonly Limit[] = [{ counter: 'account', failures: LIMIT }];

/** One wrong password; false: it was refused, and not looked at. */
function fail(counters: SignInCounters, nowMs: number, of = limits): boolean {
  if (counters.refusal(of, nowMs) !== null) return false;
  counters.begin(of, nowMs);
  counters.end(of, true, nowMs);
  return true;
}

/** What the database keeps of counters. */
class Store {
  private readonly rows = new Map<string, { failures: number; startedAtMs: number }>();

  add(batch: ReadonlyMap<string, number>, nowMs: number) {
    for (const [counter, failures] of batch) {
      const row = this.rows.get(counter);
      const isOpen = row !== undefined && row.startedAtMs + WINDOW_MS > nowMs;
      this.rows.set(counter, {
        failures: (isOpen ? row.failures : 0) + failures,
        startedAtMs: isOpen ? row.startedAtMs : nowMs,
      });
    }
    return this.find([...batch.keys()], nowMs);
  }

  find(counters: readonly string[], nowMs: number) {
    return counters.flatMap((counter) => {
      const row = this.rows.get(counter);
      if (row === undefined || row.startedAtMs + WINDOW_MS <= nowMs) return [];
      return [{ counter, failures: row.failures, remainingMs: row.startedAtMs + WINDOW_MS - nowMs }];
    });
  }
}

describe('SignInCounters', () => {
  it('admits as many failures as the limit says, and tells how long the window lasts', () => {
    const counters = new SignInCounters();
    for (let attempt = 0; attempt < LIMIT; attempt += 1) expect(fail(counters, 1_000)).toBe(true);
    expect(fail(counters, 2_000)).toBe(false);
    expect(counters.refusal(limits, 2_000)).toBe(WINDOW_MS - 1_000);
    expect(fail(counters, 1_000 + WINDOW_MS)).toBe(true);
  });

  it('counts tries from their beginning, so that many at the same time do not slip through', () => {
    const counters = new SignInCounters();
    let begun = 0;
    for (let attempt = 0; attempt < 200; attempt += 1) {
      if (counters.refusal(limits, 0) !== null) continue;
      counters.begin(limits, 0);
      begun += 1;
    }
    expect(begun).toBe(LIMIT);
  });

  it('counts what it tells once, whether an answer of the database has it already or not', () => {
    const counters = new SignInCounters();
    const store = new Store();
    for (let attempt = 0; attempt < 12; attempt += 1) fail(counters, 0);
    const before = store.find(['account'], 1);
    const batch = counters.tell(100);
    const stored = store.add(batch, 2);
    // Asked after the database had taken it, and answered before that was confirmed.
    counters.learn(store.find(['account'], 3), 3);
    expect(counters.refusal(limits, 4)).toBeNull();
    counters.told(batch, stored, 4);
    // Asked before, and answered last.
    counters.learn(before, 5);
    counters.learn([{ counter: 'account', failures: 1, remainingMs: WINDOW_MS - 5 }], 5);
    for (let attempt = 12; attempt < LIMIT; attempt += 1) expect(fail(counters, 6)).toBe(true);
    expect(fail(counters, 6)).toBe(false);
  });

  it('begins anew with the next window of the database', () => {
    const counters = new SignInCounters();
    counters.learn([{ counter: 'account', failures: LIMIT, remainingMs: 10 }], 0);
    counters.begin(limits, 5);
    expect(counters.refusal(limits, 9)).not.toBeNull();
    counters.learn([{ counter: 'account', failures: 1, remainingMs: WINDOW_MS }], 9);
    expect(counters.refusal(limits, 9)).toBeNull();
  });

  it('does not count what was right or could not be decided', () => {
    const counters = new SignInCounters();
    for (let attempt = 0; attempt < 500; attempt += 1) {
      counters.begin(limits, 0);
      counters.end(limits, false, 0);
    }
    expect(counters.refusal(limits, 0)).toBeNull();
    expect(counters.tell(10).size).toBe(0);
  });

  it('refuses what other replicas have counted, as soon as it has read it', () => {
    const counters = new SignInCounters();
    counters.learn([{ counter: 'account', failures: LIMIT, remainingMs: 5_000 }], 100);
    expect(counters.refusal(limits, 100)).toBe(5_000);
    expect(counters.refusal(limits, 5_100)).toBeNull();
  });

  it('tells again what the database has not taken, and counts it once', () => {
    const counters = new SignInCounters();
    for (let attempt = 0; attempt < 7; attempt += 1) fail(counters, 0);
    const batch = counters.tell(10);
    expect(batch.get('account')).toBe(7);
    fail(counters, 0);
    counters.notTold(batch);
    expect(counters.tell(10).get('account')).toBe(8);
  });

  it('tells at most so many counters, and the others next', () => {
    const counters = new SignInCounters();
    for (let index = 0; index < 25; index += 1) fail(counters, 0, [{ counter: `c${index}`, failures: LIMIT }]);
    const told = [counters.tell(10), counters.tell(10), counters.tell(10)];
    expect(told.map((batch) => batch.size)).toEqual([10, 10, 5]);
  });

  it('remembers a bounded number of counters', () => {
    const counters = new SignInCounters(1_000);
    for (let index = 0; index < 5_000; index += 1) fail(counters, 0, [{ counter: `c${index}`, failures: LIMIT }]);
    expect(counters.size).toBe(1_000);
  });

  /**
   * Replicas that read before each try and tell once a second, as `SignInExchange` does: attackers choose replicas and
   * moments. What the others have not told yet is at most one second old.
   */
  it('keeps attackers of several replicas near the limit of one, in random attacks', () => {
    const attack = fc.record({
      replicas: fc.integer({ min: 1, max: 5 }),
      tries: fc.array(fc.record({ replica: fc.nat(4), afterMs: fc.nat(700) }), { minLength: 100, maxLength: 400 }),
    });
    fc.assert(
      fc.property(attack, ({ replicas, tries }) => {
        const store = new Store();
        const all = Array.from({ length: replicas }, () => ({ counters: new SignInCounters(), toldAtMs: 0 }));
        let nowMs = 0;
        const admittedAtMs: number[] = [];
        for (const { replica, afterMs } of tries) {
          nowMs += afterMs;
          for (const one of all) {
            if (nowMs - one.toldAtMs < 1_000) continue;
            one.toldAtMs = nowMs;
            const batch = one.counters.tell(1_000);
            one.counters.told(batch, store.add(batch, nowMs), nowMs);
          }
          const { counters } = all[replica % replicas]!;
          counters.learn(store.find(['account'], nowMs), nowMs);
          if (fail(counters, nowMs)) admittedAtMs.push(nowMs);
        }
        // What the others have not told yet is of the last second: beyond the limit there is that, and no more.
        const reachedAtMs = admittedAtMs[LIMIT - 1];
        if (reachedAtMs === undefined) return;
        const late = admittedAtMs.slice(LIMIT).filter((at) => at < WINDOW_MS);
        expect(late.every((at) => at <= reachedAtMs + 2_000)).toBe(true);
        expect(admittedAtMs.filter((at) => at < WINDOW_MS).length).toBeLessThanOrEqual(LIMIT * replicas);
        if (replicas === 1) expect(late).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
