import { describe, expect, it } from '@jest/globals';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import type { BudgetState } from '../quotas/admission.js';
import { boundBy, limitsOf } from '../quotas/key-limits.js';
import type { LimitFacts } from '../quotas/limits/limit-facts.js';
import type { Quotas } from '../quotas/quotas.service.js';
import { UNKNOWN_VIEWER } from './credential-viewer.js';
import { KnownLimits, type ToldCall } from './known-limits.js';

const KEY = {
  ...{ id: 'K', ownerId: 'O', projectId: 'P', rateLimitPerMinute: null, rateLimitPerHour: null, rateLimitPerDay: null },
  ...{ budgetLimitMicroCents: null, budgetType: null },
};
const ALL = { ...UNKNOWN_VIEWER, seesAll: true };
const NOW = Date.UTC(2026, 0, 31, 23, 59, 30);

const fact = (id: string, more: Partial<LimitFacts> = {}): LimitFacts => ({
  ...{ id, name: `Limit ${id}`, target: 'project', unit: 'tokens', per: 'month', each: null, models: [] },
  ...more,
});
const state = (limit: bigint | null, spent: bigint, leased = 0n): BudgetState => ({
  ...{ period: '2026-01-01', endsAtMs: Date.UTC(2026, 1, 1), limit, spent, leased, raise: 0n },
});

function told(
  facts: readonly LimitFacts[],
  states: Readonly<Record<string, BudgetState>>,
  call: Partial<ToldCall> = {},
  key: Partial<Parameters<typeof limitsOf>[0]> = {},
) {
  const own = limitsOf({ ...KEY, ...key });
  const record = { key: { ...KEY, limits: own }, limits: boundBy(own, KEY, facts) } as unknown as KeyRecord;
  const quotas = { findBudget: ({ id }: { id: string }) => states[id] ?? null } as unknown as Quotas;
  const limits = new KnownLimits(quotas);
  const asked = { record, limits: record.limits, model: undefined, viewer: ALL, rateLimits: [], nowMs: NOW, ...call };
  return { tightest: limits.tightest(asked), all: limits.all(asked) };
}

describe('The tightest limit', () => {
  it('is the one of which the least part is left, whatever it counts', () => {
    const states = { a: state(1000n, 500n), b: state(10n, 3n, 4n), c: state(1_000_000n, 0n) };
    const { tightest } = told([fact('a'), fact('b', { unit: 'requests' }), fact('c')], states);
    // A request is used when a replica takes it.
    expect(tightest).toEqual({
      ...{ id: 'b', name: 'Limit b', unit: 'requests', per: 'month', state: 'ok' },
      ...{ amount: 10, used: 7, held: 0, remaining: 3, resetsAt: '2026-02-01T00:00:00.000Z', resetSeconds: 30 },
    });
  });

  it('is the narrower one of two of which the same part is left', () => {
    const states = { a: state(10n, 5n), b: state(1000n, 500n) };
    expect(told([fact('a'), fact('b')], states).tightest!.id).toBe('a');
    const rateLimits = [{ window: 'day', limit: 20, remaining: 10, resetSeconds: 90 } as const];
    expect(told([fact('a')], states, { rateLimits }).tightest).toMatchObject({ id: null, per: '24-hours' });
  });

  it('may be the budget of the key', () => {
    const states = { K: state(2_000_000n, 1_900_000n), a: state(10n, 5n) };
    const own = { budgetLimitMicroCents: 2_000_000n, budgetType: 'monthly' } as const;
    expect(told([fact('a')], states, {}, own).tightest).toMatchObject({
      ...{ id: null, unit: 'cents', per: 'month', amount: 2, used: 1.9, remaining: 0.1 },
    });
  });

  it('is none whose numbers are not for the caller, nor one of other models, nor one that observes', () => {
    const states = { a: state(10n, 5n), b: state(10n, 9n), c: state(null, 9n), d: state(10n, 8n) };
    const facts = [fact('a', { target: 'key' }), fact('b'), fact('c', { target: 'key' })];
    const models = fact('d', { target: 'key', models: ['o1*'] });
    const viewer = { ...UNKNOWN_VIEWER, keyIds: ['K'] };
    expect(told([...facts, models], states, { viewer, model: 'gpt-4o' }).tightest!.id).toBe('a');
    expect(told([...facts, models], states, { viewer }).tightest!.id).toBe('d');
  });

  it('is told without numbers where the caller may know none, and is the narrowest then', () => {
    const facts = [fact('s', { target: 'owner', unit: 'slots', per: null }), fact('a'), fact('b')];
    const { tightest, all } = told(facts, { a: state(10n, 10n) }, { viewer: UNKNOWN_VIEWER });
    expect(tightest).toEqual({ id: 's', unit: 'slots', per: null, state: 'ok' });
    expect(all.map(({ id, state: told, amount }) => [id, told, amount])).toEqual([
      ['s', 'ok', undefined],
      ['a', 'exhausted', undefined],
      ['b', 'ok', undefined],
    ]);
  });

  it('is absent where nothing limits a call', () => {
    expect(told([], {})).toEqual({ tightest: undefined, all: [] });
  });
});
