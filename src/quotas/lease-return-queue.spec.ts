import { beforeEach, describe, expect, it } from '@jest/globals';
import { LeaseReturnQueue } from './lease-return-queue.js';
import type { GiveBack, LeaseReturn, PermitReturn, QuotaStore } from './quota-store.js';

const RETRY_MS = 250;

describe('Returns of leases', () => {
  let nowMs: number;
  let sent: GiveBack[];
  let isRefused: (back: GiveBack) => boolean;
  let queue: LeaseReturnQueue;

  beforeEach(() => {
    nowMs = 0;
    sent = [];
    isRefused = () => false;
    const notHere = () => Promise.reject(new Error('not here'));
    const store: QuotaStore = {
      giveBack: (back) => {
        sent.push(back);
        return isRefused(back) ? Promise.reject(new Error('refused')) : Promise.resolve();
      },
      acquire: notHere,
      settle: notHere,
      closeExpired: notHere,
    };
    queue = new LeaseReturnQueue(store);
  });

  const slice = (leaseId: string): LeaseReturn => ({ leaseId, number: 1, amount: 5n });
  const permits = (id: string): PermitReturn => ({ id, window: 'minute', bucket: 1, granted: 3, used: 1 });

  async function flushFor(times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      queue.flush(() => nowMs);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      nowMs += RETRY_MS;
    }
  }

  it('send all permits once while slices are refused, and the slices until they are taken', async () => {
    isRefused = ({ leases }) => leases.length > 0;
    queue.addLease(slice('one'));
    for (let key = 0; key < 450; key++) queue.addPermits(permits(String(key)));
    await flushFor(12);
    // What is refused as a whole has not been applied, so only calls without slices have arrived.
    const arrived = sent.filter((back) => !isRefused(back)).flatMap(({ windows }) => windows.map(({ id }) => id));
    expect(arrived).toEqual(Array.from({ length: 450 }, (_, key) => String(key)));
    expect(queue.size).toBe(1);
    isRefused = () => false;
    await flushFor(1);
    expect(queue.size).toBe(0);
  });

  it('send the slices while permits are refused, which are not sent again', async () => {
    isRefused = ({ windows }) => windows.length > 0;
    for (let key = 0; key < 450; key++) queue.addPermits(permits(String(key)));
    for (let lease = 0; lease < 450; lease++) queue.addLease(slice(String(lease)));
    await flushFor(8);
    expect(queue.size).toBe(0);
    expect(sent.flatMap(({ windows }) => windows)).toHaveLength(450);
    expect(sent.flatMap(({ leases }) => leases)).toHaveLength(450);
  });
});
