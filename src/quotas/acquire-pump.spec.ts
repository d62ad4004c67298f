import { beforeEach, describe, expect, it } from '@jest/globals';
import { EventQueue } from '../../test/simulation/event-queue.js';
import type { AcquireCall } from './acquire-call.js';
import { AcquirePump } from './acquire-pump.js';
import { BudgetEntry } from './budget-entry.js';
import { LEDGER_DEFAULTS } from './lease-manager-options.js';
import { DemandEstimator } from './demand-estimator.js';
import { WINDOW_NAMES } from './memory-entry.js';
import type { Account, AcquireAnswer, AcquireRequest, QuotaStore, WindowName } from './quota-store.js';
import { enqueue, Waiter } from './waiter.js';
import { WindowEntry } from './window-entry.js';

/** A pump before a store in which nothing is answered unless the test says so. */
class Stage {
  readonly events = new EventQueue();
  readonly sent: {
    readonly request: AcquireRequest;
    readonly answer: (answer: AcquireAnswer) => void;
    readonly fail: () => void;
  }[] = [];
  readonly failed: AcquireCall[] = [];
  private ids = 0;
  readonly pump: AcquirePump;

  constructor() {
    const absent = () => Promise.reject(new Error('not here'));
    const store: QuotaStore = {
      acquire: (request) =>
        new Promise((answer, fail) => this.sent.push({ request, answer, fail: () => fail(new Error('away')) })),
      ...{ giveBack: absent, settle: absent, closeExpired: absent },
    };
    const clock = {
      monotonicMs: () => this.events.now,
      wallMs: () => this.events.now,
      after: (delayMs: number, run: () => void) => this.events.at(this.events.now + delayMs, run),
    };
    this.pump = new AcquirePump(
      store,
      clock,
      () => String(++this.ids),
      { ...LEDGER_DEFAULTS, replicaId: 'one' },
      {
        answered: () => undefined,
        failed: (call) => void this.failed.push(call),
        closeAll: () => [],
        closeUsed: () => [],
        lowOf: (windows) => windows.map(({ id, window }) => this.lowEntry(id, window)),
        mayStand: () => false,
      },
    );
  }

  ask(account: Account, ttlSeconds = 60): BudgetEntry {
    const entry = new BudgetEntry(account);
    enqueue(entry, this.waiter([account], ttlSeconds));
    this.pump.askBudget(entry);
    return entry;
  }

  /** Asks ahead for all windows of a key. */
  refill(id: string): void {
    this.pump.refill(
      id,
      WINDOW_NAMES.map((window) => ({ id, window, limit: 10_000 })),
    );
  }

  private lowEntry(id: string, window: WindowName): WindowEntry {
    const flow = new DemandEstimator();
    flow.add(10, this.events.now);
    return new WindowEntry(id, window, flow);
  }

  askTogether(accounts: readonly Account[]): void {
    this.pump.askTogether(
      this.waiter(accounts, 300),
      accounts.map((account) => new BudgetEntry(account)),
    );
  }

  private waiter(accounts: readonly Account[], ttlSeconds: number): Waiter {
    const request = { accounts, windows: [], cost: 1, reserve: 1n, ttlSeconds, isDefaultHold: false };
    return new Waiter(request, ++this.ids, Infinity);
  }

  async pass(ms: number): Promise<void> {
    const until = this.events.now + ms;
    for (let run = this.events.next(until); run !== null; run = this.events.next(until)) {
      run();
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    this.events.now = until;
  }

  get sentIds(): string[][] {
    return this.sent.map(({ request }) => request.budgets.map(({ account }) => account.id));
  }
}

const own = (name: string): Account => ({ id: name, type: 'total' });
const shared = (name: string): Account => ({ id: name, type: 'total', limit: { id: name, member: null } });
const ofMember = (name: string): Account => ({ id: name, type: 'total', limit: { id: 'each', member: name } });

describe('Calls to the store', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });

  it('are made for keys without limits while all those of limits wait for locks', async () => {
    for (let index = 0; index < 20; index++) {
      if (index % 2 === 0) stage.ask(shared(`limit-${index}`));
      else stage.askTogether([own(`together-${index}`), shared(`limit-${index}`)]);
      await stage.pass(20);
    }
    expect(stage.sent).toHaveLength(LEDGER_DEFAULTS.maxCalls - 2);
    stage.ask(own('key'));
    await stage.pass(20);
    expect(stage.sentIds.at(-1)).toEqual(['key']);
    // Abandoned calls still count, so that the store is not piled upon, and the key's place stays.
    await stage.pass(2_000);
    stage.pump.sweep(stage.events.now);
    stage.ask(own('other'));
    await stage.pass(20);
    expect(stage.sentIds.at(-1)).toEqual(['other']);
  });

  it('take up those of limits again when one of them has ended', async () => {
    for (let index = 0; index < 7; index++) {
      stage.ask(shared(`limit-${index}`));
      await stage.pass(20);
    }
    expect(stage.sentIds).not.toContainEqual(['limit-6']);
    stage.sent[0]!.answer({ budgets: [], windows: [] });
    await stage.pass(20);
    expect(stage.sentIds.at(-1)).toEqual(['limit-6']);
  });

  it('ask for many members of a limit at once, and for few accounts that all calls share', async () => {
    for (let index = 0; index < 100; index++) stage.ask(ofMember(`member-${index}`));
    for (let index = 0; index < 20; index++) stage.ask(shared(`limit-${index}`));
    await stage.pass(100);
    const sizes = stage.sentIds.map((ids) => ids.length).sort((one, other) => one - other);
    expect(sizes).toEqual([4, 8, 8, 100]);
  });

  it('are made by turns', async () => {
    // All calls are under way when the needs come.
    for (let index = 0; index < 6; index++) {
      stage.ask(shared(`busy-${index}`));
      await stage.pass(20);
    }
    for (let index = 0; index < 2; index++) {
      stage.ask(own(`busy-key-${index}`));
      await stage.pass(20);
    }
    for (let index = 0; index < 24; index++) stage.ask(shared(`limit-${index}`));
    stage.ask(own('key'));
    stage.ask(ofMember('member'));
    stage.askTogether([own('together'), shared('limit')]);
    const before = stage.sent.length;
    expect(before).toBe(LEDGER_DEFAULTS.maxCalls);
    for (let index = 0; index < 4; index++) stage.sent[index]!.answer({ budgets: [], windows: [] });
    await stage.pass(100);
    const later = stage.sentIds.slice(before).map(([id]) => id!.replace(/-\d+/, ''));
    expect(later.sort()).toEqual(['key', 'limit', 'member', 'together']);
  });
});

describe('what is asked for ahead', () => {
  it('goes for 200 keys in a statement, and for the next 200 as soon as that has ended', async () => {
    const stage = new Stage();
    for (let key = 0; key < 450; key++) stage.refill(`key ${key}`);
    const keysOf = (call: number): number => new Set(stage.sent[call]?.request.windows.map(({ id }) => id)).size;
    const end = async (call: number): Promise<void> => {
      stage.sent[call]!.answer({ budgets: [], windows: [] });
      await new Promise((resolve) => setImmediate(resolve));
      await stage.pass(1);
    };
    await stage.pass(LEDGER_DEFAULTS.refillMs);
    expect([stage.sent.length, keysOf(0)]).toEqual([1, 200]);
    await end(0);
    expect([stage.sent.length, keysOf(1)]).toEqual([2, 200]);
    await end(1);
    expect(stage.sent).toHaveLength(2);
    await stage.pass(LEDGER_DEFAULTS.refillMs);
    expect([stage.sent.length, keysOf(2)]).toEqual([3, 50]);
  });

  it('goes for fewer keys where many windows of limits bind them', async () => {
    const stage = new Stage();
    for (let key = 0; key < 250; key++) {
      const windows = Array.from({ length: 10 }, (_, limit) => ({ id: `${key}/${limit}`, window: 'minute' as const }));
      stage.pump.refill(
        `key ${key}`,
        windows.map((window) => ({ ...window, limit: 10_000 })),
      );
    }
    await stage.pass(LEDGER_DEFAULTS.refillMs);
    expect(stage.sent.map(({ request }) => request.windows.length)).toEqual([600]);
  });

  it('waits a while after a statement that failed, however much there is to ask for', async () => {
    const stage = new Stage();
    for (let key = 0; key < 450; key++) stage.refill(`key ${key}`);
    await stage.pass(LEDGER_DEFAULTS.refillMs);
    stage.sent[0]!.fail();
    await new Promise((resolve) => setImmediate(resolve));
    await stage.pass(LEDGER_DEFAULTS.refillMs - 1);
    expect(stage.sent).toHaveLength(1);
    await stage.pass(1);
    expect(stage.sent).toHaveLength(2);
  });

  it('waits a while where a statement may not be sent, however much there is to ask for', async () => {
    const stage = new Stage();
    stage.pump.pauseUntil(1_000);
    for (let key = 0; key < 450; key++) stage.refill(`key ${key}`);
    let looks = 0;
    const after = stage.events.at.bind(stage.events);
    stage.events.at = (atMs, run) => {
      looks++;
      after(atMs, run);
    };
    await stage.pass(990);
    expect(looks).toBeLessThanOrEqual(990 / LEDGER_DEFAULTS.refillMs);
    await stage.pass(100);
    expect(stage.sent).toHaveLength(1);
  });
});
