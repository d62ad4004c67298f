import { beforeEach, describe, expect, it } from '@jest/globals';
import type { AcquireAnswer, AcquireRequest, BudgetGrant, PoolKind, QuotaStore } from './quota-store.js';
import { GrantMemory } from './grant-memory.js';

function request(leaseId: string, ownLeaseIds: readonly string[] = [], kind: PoolKind = 'pooled'): AcquireRequest {
  const needs = ownLeaseIds.map((id) => ({ amount: 1n, own: { leaseId: id, ttlSeconds: 300 } }));
  const ask = { account: { id: 'key', type: 'total' as const }, kind, leaseId, want: 0n, needs };
  return { replicaId: 'one', liveReplicas: 1, budgets: [ask], windows: [] };
}

function answer(slice: bigint, verdicts: readonly boolean[] = []): AcquireAnswer {
  return { budgets: [{ slice, verdicts } as BudgetGrant], windows: [] };
}

describe('the memory of grants', () => {
  let nowMs: number;
  let next: () => Promise<AcquireAnswer>;
  let memory: GrantMemory;

  beforeEach(() => {
    nowMs = 0;
    const store = { acquire: () => next(), giveBack: () => Promise.resolve() } as unknown as QuotaStore;
    memory = new GrantMemory(store, () => nowMs);
  });

  async function grant(atMs: number, asked: AcquireRequest, answered: AcquireAnswer): Promise<void> {
    nowMs = atMs;
    next = () => {
      nowMs = atMs + 5;
      return Promise.resolve(answered);
    };
    await memory.acquire(asked);
  }

  it('gives the leases of grants that were answered since an instant', async () => {
    await grant(100, request('a'), answer(7n));
    await grant(200, request('b'), answer(7n));
    expect(memory.since(0)).toEqual(['a', 'b']);
    expect(memory.since(106)).toEqual(['b']);
  });

  it('knows pooled leases that were made, and leases of their own that were granted', async () => {
    await grant(100, request('pool', ['own1', 'own2']), answer(0n, [true, false]));
    expect(memory.since(0)).toEqual(['own1']);
  });

  it('forgets what is given back unused, and leases that end with their return', async () => {
    for (const [id, kind] of Object.entries({ unused: 'pooled', used: 'pooled', counted: 'counted' } as const))
      await grant(100, request(id, [], kind), answer(7n));
    const back = (leaseId: string, amount: bigint) => ({ leaseId, number: 1, amount });
    await memory.giveBack({ leases: [back('unused', 7n), back('used', 2n), back('counted', 2n)], windows: [] });
    expect(memory.since(0)).toEqual(['used']);
  });

  it('remembers no refusal', async () => {
    await grant(100, request('a'), answer(0n));
    expect(memory.since(0)).toEqual([]);
    expect(memory.newestSentOfThoseAnsweredBy(1_000)).toBe(Number.NEGATIVE_INFINITY);
  });

  it('tells what was asked for by a server from what its successor has granted', async () => {
    await grant(100, request('a'), answer(7n));
    await grant(200, request('b'), answer(7n));
    expect(memory.newestSentOfThoseAnsweredBy(104)).toBe(Number.NEGATIVE_INFINITY);
    expect(memory.newestSentOfThoseAnsweredBy(204)).toBe(100);
    expect(memory.newestSentOfThoseAnsweredBy(205)).toBe(200);
  });

  it('gives no lease that was given back unused: its row may be gone', async () => {
    await grant(100, request('pool', ['own']), answer(7n, [true]));
    const back = (leaseId: string, amount: bigint) =>
      memory.giveBack({ leases: [{ leaseId, number: 1, amount }], windows: [] });
    await back('pool', 6n);
    expect(memory.since(0)).toEqual(['pool', 'own']);
    await back('own', 1n);
    await back('pool', 7n);
    expect(memory.since(0)).toEqual([]);
  });

  it('says that it does not know where it has forgotten', async () => {
    await grant(100, request('a'), answer(7n));
    await grant(200, request('b'), answer(7n));
    memory.forgetBefore(150);
    expect(memory.since(149)).toBeNull();
    expect(memory.since(150)).toEqual(['b']);
  });
});
