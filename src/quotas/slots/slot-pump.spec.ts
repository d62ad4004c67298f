import { describe, expect, it } from '@jest/globals';
import type { AdmitRequest } from '../admission.js';
import { BudgetEntry } from '../budget-entry.js';
import { Waiter } from '../waiter.js';
import { SlotPump, type SlotStatement } from './slot-pump.js';
import type { SlotAnswer, SlotRequest } from './slot-store.js';

const ACQUIRE_TIMEOUT_MS = 100;

/** A pump whose store answers when the test says so, by a clock that the test moves. */
function pumpOfHangingStore() {
  const sent: { accounts: string[]; fail: () => void }[] = [];
  const failed: SlotStatement[] = [];
  let nowMs = 0;
  let ids = 0;
  const soon: (() => void)[] = [];
  const take = ({ calls }: SlotRequest): Promise<SlotAnswer> =>
    new Promise((_resolve, reject) => {
      const accounts = calls.flatMap(({ needs }) => needs.map(({ account }) => account.id));
      sent.push({ accounts, fail: () => reject(new Error('ended')) });
    });
  const store = { take, free: () => Promise.resolve(), renew: () => Promise.reject(new Error('not here')) };
  const clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    after: (_ms: number, run: () => void) => soon.push(run),
  };
  const pump = new SlotPump(
    store,
    clock,
    () => `lease-${(ids += 1)}`,
    { replicaId: 'one', acquireTimeoutMs: ACQUIRE_TIMEOUT_MS },
    { slotsAnswered: () => undefined, slotsFailed: (statement) => failed.push(statement) },
  );
  const ask = (entry: BudgetEntry): void => {
    const request = { slots: { accounts: [entry.account], ttlSeconds: 1 } } as unknown as AdmitRequest;
    pump.ask(new Waiter(request, 0, Infinity), [entry]);
    for (const run of soon.splice(0)) run();
  };
  const timeOut = (): void => pump.sweep((nowMs += ACQUIRE_TIMEOUT_MS));
  return { pump, sent, failed, ask, timeOut };
}

const entryOf = (id: string): BudgetEntry =>
  new BudgetEntry({ id, type: 'total', limit: { id, member: null } } as never);

describe('SlotPump', () => {
  it('asks for no account again while a statement about it hangs, and goes on asking for others', async () => {
    const { sent, failed, ask, timeOut } = pumpOfHangingStore();
    const [locked, free] = [entryOf('locked'), entryOf('free')];
    for (let round = 1; round <= 6; round += 1) {
      ask(locked);
      timeOut();
    }
    expect(failed).toHaveLength(1);
    expect(sent.map(({ accounts }) => accounts)).toEqual([['locked']]);
    expect(locked.isQuiet).toBe(false);
    ask(free);
    expect(sent[1]!.accounts).toEqual(['free']);
    sent[0]!.fail();
    await new Promise(setImmediate);
    expect(sent[2]!.accounts).toEqual(Array.from({ length: 5 }, () => 'locked'));
  });

  it('asks for an account however many calls wait for one whose statement hangs', () => {
    const { sent, ask } = pumpOfHangingStore();
    const locked = entryOf('locked');
    for (let call = 0; call <= 1_000; call += 1) ask(locked);
    ask(entryOf('free'));
    expect(sent.map(({ accounts }) => accounts)).toEqual([['locked'], ['free']]);
  });
});
