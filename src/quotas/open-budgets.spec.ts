import { beforeEach, describe, expect, it } from '@jest/globals';
import { KEY, START, Stage, call } from '../../test/simulation/lease-manager-stage.js';
import type { Account } from './quota-store.js';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Longer than an answer holds. */
const LATER_MS = 11_000;

describe('an open budget of which nothing is reserved', () => {
  let stage: Stage;
  const account: Account = { id: KEY, type: 'monthly' };

  beforeEach(() => {
    stage = new Stage();
    stage.model.createKey(KEY, 1_000n, 'monthly');
  });

  const poll = (full: readonly string[] = []): void =>
    stage.leaseManager.onPolled({ sentMs: stage.events.now, isClockEven: true, full });
  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1_000) {
      await stage.pass(1_000);
      poll();
    }
  }
  /** Whether a call waits for the store. */
  const waits = (): boolean => stage.leaseManager.admit(call({ accounts: [account] })) instanceof Promise;
  async function asked(): Promise<void> {
    poll();
    expect(await stage.admit({ accounts: [account] })).toMatchObject({ admitted: true });
  }

  it('is believed to be open while polls come', async () => {
    await asked();
    await pass(30 * MINUTE_MS);
    expect(waits()).toBe(false);
  });

  it('is asked for once a poll has told of it', async () => {
    await asked();
    await pass(LATER_MS);
    poll([KEY]);
    expect(waits()).toBe(true);
  });

  it('is asked for in the next month', async () => {
    await stage.pass(16 * DAY_MS - 10 * MINUTE_MS);
    await asked();
    await pass(9 * MINUTE_MS);
    expect(waits()).toBe(false);
    await stage.pass(1_000);
    await pass(MINUTE_MS);
    expect(START + stage.events.now).toBeGreaterThan(Date.UTC(2026, 6, 1));
    expect(waits()).toBe(true);
  });

  it('is asked for as ever while it is raised: no poll tells when a raise ends', async () => {
    stage.model.patch(KEY, 1_000n, 'monthly', { amount: 10n, until: START + DAY_MS });
    await asked();
    await pass(LATER_MS);
    expect(waits()).toBe(true);
  });

  it('is asked for after the host was suspended', async () => {
    await asked();
    await pass(LATER_MS);
    stage.wallOffset = MINUTE_MS;
    expect(waits()).toBe(true);
  });

  it('is looked at again behind a call that passes by an older answer', async () => {
    await asked();
    await pass(LATER_MS);
    const { length } = stage.calls;
    expect(waits()).toBe(false);
    await pass(1_000);
    expect(stage.calls.slice(length).map(({ budgets }) => budgets)).toEqual([
      [expect.objectContaining({ account, needs: [], want: 0n })],
    ]);
  });
});
