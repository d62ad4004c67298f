import { describe, expect, it } from '@jest/globals';
import { LeaseReturnQueue } from './lease-return-queue.js';
import type { GiveBack, PermitReturn, QuotaStore } from './quota-store.js';

const permits = (id: string): PermitReturn => ({ id, window: 'minute', bucket: 1, granted: 5, used: 2 });

/** A store whose answers are given by `outcome`, and a clock that goes on by a retry with each look. */
class Wire {
  readonly sent: { leases: string[]; windows: string[] }[] = [];
  private nowMs = 0;
  readonly queue = new LeaseReturnQueue({
    giveBack: (back: GiveBack) => {
      const call = { leases: back.leases.map((one) => one.leaseId), windows: back.windows.map((one) => one.id) };
      this.sent.push(call);
      return this.outcome(call) ? Promise.resolve() : Promise.reject(new Error('no answer'));
    },
  } as unknown as QuotaStore);

  constructor(private readonly outcome: (call: { leases: string[]; windows: string[] }) => boolean) {}

  async look(times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      this.nowMs += 250;
      this.queue.flush(() => this.nowMs);
      for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    }
  }

  sentPermits(id: string): number {
    return this.sent.filter(({ windows }) => windows.includes(id)).length;
  }
}

describe('What is handed back', () => {
  const slice = (leaseId: string) => ({ leaseId, number: 1, amount: 7n });

  it('sends slices and permits by themselves, slices first', async () => {
    const wire = new Wire(() => true);
    wire.queue.addPermits(permits('p'));
    wire.queue.addLease(slice('s'));
    await wire.look(1);
    expect(wire.sent).toEqual([
      { leases: ['s'], windows: [] },
      { leases: [], windows: ['p'] },
    ]);
    expect(wire.queue.size).toBe(0);
  });

  it('sends permits behind slices that have arrived, also where more of these come with each statement', async () => {
    let slices = 0;
    const wire = new Wire(() => {
      if (slices < 100) wire.queue.addLease(slice(`s${(slices += 1)}`));
      return true;
    });
    wire.queue.addLease(slice('s'));
    wire.queue.addPermits(permits('p'));
    await wire.look(1);
    expect(wire.sent.slice(0, 2)).toEqual([
      { leases: ['s'], windows: [] },
      { leases: [], windows: ['p'] },
    ]);
  });

  it('keeps permits while slices fail, and sends them once when slices have arrived', async () => {
    let left = 3;
    const wire = new Wire(({ leases }) => leases.length === 0 || left-- <= 0);
    wire.queue.addLease(slice('s'));
    wire.queue.addPermits(permits('p'));
    await wire.look(3);
    expect([wire.sentPermits('p'), wire.queue.size]).toEqual([0, 2]);
    await wire.look(2);
    expect([wire.sentPermits('p'), wire.queue.size]).toEqual([1, 0]);
  });

  it('sends permits within a second and a half where slices fail for good, and goes on trying those', async () => {
    const wire = new Wire(({ leases }) => leases.length === 0);
    wire.queue.addLease(slice('s'));
    wire.queue.addPermits(permits('p'));
    await wire.look(6);
    expect([wire.sentPermits('p'), wire.queue.size]).toEqual([1, 1]);
    await wire.look(4);
    expect(wire.sent.filter(({ leases }) => leases.length > 0).length).toBeGreaterThan(6);
  });

  it('sends permits whose outcome is unknown no second time, and lets slices go first again', async () => {
    const wire = new Wire(() => false);
    wire.queue.addLease(slice('s'));
    wire.queue.addPermits(permits('p'));
    wire.queue.addPermits(permits('q'));
    await wire.look(30);
    expect([wire.sentPermits('p'), wire.sentPermits('q'), wire.queue.size]).toEqual([1, 1, 1]);
    for (let lost = 0; lost < 200; lost += 1) wire.queue.addPermits(permits(`r${lost}`));
    await wire.look(3);
    expect(wire.sentPermits('r0')).toBe(0);
  });
});
