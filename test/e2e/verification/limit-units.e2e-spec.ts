import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { systemCaller } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { LimitAccounts, limitRowChanged } from '../../../src/quotas/limits/limit-accounts.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { Quotas } from '../../../src/quotas/quotas.service.js';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { issueServiceKey } from '../../support/management.js';
import { insertLimit } from '../../support/limits.js';

const CENT = 1_000_000n;

interface Key {
  readonly id: string;
  readonly secret: string;
}

describe('Limits of requests and of tokens', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let gateway: string;
  let changes: Changes;
  let events = 0;
  const limits: LimitRow[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
    gateway = (await issueServiceKey(app, admin)).secret;
    changes = new Changes(app.dataSource, app.config);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
    for (const row of limits.splice(0)) await change(row, { endedAt: new Date() });
    // A limit on the whole installation would refuse calls of the next test.
    await app.applied();
  });

  const recorded = (id: string) => ({
    ...{ resourceType: 'limit', resourceId: id },
    changes: [{ field: 'amount', before: null, after: '1' }],
  });
  const change = async (before: LimitRow, patch: Partial<LimitRow>): Promise<void> => {
    const after = { ...before, ...patch };
    await changes.transaction(systemCaller('limits:update'), async (one) => {
      const values = [after.id, after.amount.toString(), after.endedAt];
      await one.tx.query('UPDATE quota_limit SET amount = $2, ended_at = $3 WHERE id = $1', values);
      await limitRowChanged(one.tx, before, after);
      one.record(recorded(after.id));
    });
  };
  /** A limit of a key, which no replica knows before the limit is there. */
  const limited = async (
    ...drafts: (Pick<LimitRow, 'amount'> & Partial<LimitRow>)[]
  ): Promise<[Key, ...LimitRow[]]> => {
    const { body } = await app.post('/api-keys', { token: admin, body: {} });
    const key = { id: body.apiKey.id as string, secret: body.secretKey as string };
    const rows: LimitRow[] = [];
    for (const draft of drafts)
      await changes.transaction(systemCaller('limits:create'), async (one) => {
        const target = { targetKind: 'key' as const, targetId: key.id };
        const row = await insertLimit((sql, values) => one.tx.query(sql, values), { ...target, ...draft });
        one.record(recorded(row.id));
        rows.push(row);
      });
    limits.push(...rows);
    return [key, ...rows];
  };
  const verify = async (key: Key, body: Record<string, unknown> = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const report = async (event: Record<string, unknown>) => {
    const body = { events: [{ id: `e${(events += 1)}`, ...event }] };
    expect((await app.post('/usage', { token: service.token, body })).body).toMatchObject({ accepted: 1 });
  };
  /** What the accounts of the limits of a key have, by the order of the limits. */
  const used = async (key: Key, ...rows: readonly LimitRow[]): Promise<bigint[]> => {
    const quotas = app.app.get(Quotas, { strict: false });
    const bound = await app.app.get(LimitAccounts, { strict: false }).bindingKey(key.id, (id) => quotas.unusedOf(id));
    return rows.map((row) => bound.find(({ limit }) => limit.id === row.id)!.account.spent);
  };

  describe('A limit of requests', () => {
    it('counts calls that are admitted, on every replica, and says when the next may come', async () => {
      const [key, limit] = await limited({ unit: 'requests', amount: 5n, per: 'day' });
      let valid = 0;
      await eventually(async () => {
        const verdicts = await Promise.all(Array.from({ length: 8 }, (_, at) => verify(key, {}, at % 2 ? app : other)));
        valid += verdicts.filter((verdict) => verdict.valid).length;
        expect(valid).toBeLessThanOrEqual(5);
        expect(valid).toBe(5);
      });
      const refused = await verify(key);
      expect(refused).toMatchObject({
        code: 'RATE_LIMITED',
        detail: 'A limit of requests of the key does not cover this call.',
        limit: { id: limit!.id, name: 'limit', unit: 'requests', per: 'day', state: 'exhausted' },
      });
      expect(new Date(refused.limit.resetsAt).getTime()).toBeGreaterThan(Date.now());
      expect(refused.retryAfterSeconds).toBeGreaterThan(0);
      await eventually(async () => expect(await used(key, limit!)).toEqual([5n]));
    });

    it('counts a call as its cost, and says of one that it can never cover', async () => {
      const [key, limit] = await limited({ unit: 'requests', amount: 5n, per: 'week' });
      expect((await verify(key, { cost: 3 })).code).toBe('VALID');
      expect((await verify(key, { cost: 3 })).code).toBe('RATE_LIMITED');
      const never = await verify(key, { cost: 6 });
      expect(never).toMatchObject({ code: 'RATE_LIMITED', detail: expect.stringMatching(/it never fits\.$/) });
      expect(never.retryAfterSeconds).toBeUndefined();
      await eventually(async () => expect((await verify(key, { cost: 2 })).code).toBe('VALID'));
      await eventually(async () => expect(await used(key, limit!)).toEqual([5n]));
    });

    it('counts no call that something else refuses, that is tried, or that is reported', async () => {
      const [key, requests, cents] = await limited(
        { unit: 'requests', amount: 5n, per: 'day' },
        { amount: 10n * CENT, per: 'day' },
      );
      expect((await verify(key, { reserveCents: 11 })).code).toBe('BUDGET_EXCEEDED');
      expect((await verify(key, { reserveCents: 11, reservationTtlSeconds: 300 })).code).toBe('BUDGET_EXCEEDED');
      expect((await verify(key, { dryRun: true })).code).toBe('VALID');
      await report({ apiKeyId: key.id, requests: 50, costCents: 1 });
      await eventually(async () => expect(await used(key, requests!, cents!)).toEqual([0n, CENT]));
      const { reservation } = await verify(key, { reserveCents: 2, reservationTtlSeconds: 300 });
      await report({ reservationId: reservation.id, costCents: 1, requests: 50 });
      await eventually(async () => expect(await used(key, requests!, cents!)).toEqual([1n, 2n * CENT]));
    });

    it('is answered with 429 and Retry-After to a gateway', async () => {
      const [key] = await limited({ unit: 'requests', amount: 1n, per: 'month' });
      const ask = () =>
        app.get('/forward-auth', {
          headers: { 'x-latchkey-gateway-key': gateway, 'x-api-key': key.secret },
        });
      expect((await ask()).status).toBe(200);
      const { status, headers, body } = await ask();
      expect([status, body.code]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it('refuses nothing while it observes, and counts all the same', async () => {
      const [key, limit] = await limited({ unit: 'requests', amount: 0n, mode: 'observe' });
      for (let calls = 0; calls < 3; calls += 1) expect((await verify(key)).code).toBe('VALID');
      await eventually(async () => expect(await used(key, limit!)).toEqual([3n]));
    });
  });

  describe('A limit of tokens', () => {
    it('holds what a call reserves, and is charged with what is reported', async () => {
      const [key, limit] = await limited({ unit: 'tokens', amount: 1_000n, per: 'month' });
      const first = await verify(key, { reserveTokens: 600 });
      expect(first.reservation).toMatchObject({ cents: 0, tokens: 600 });
      expect(first.reservation.id.length).toBeLessThanOrEqual(1_024);
      expect(await verify(key, { reserveTokens: 500 }, other)).toMatchObject({
        code: 'BUDGET_EXCEEDED',
        detail: 'A limit of tokens of the key does not cover this call.',
        limit: { id: limit!.id, unit: 'tokens', per: 'month' },
      });
      await report({ reservationId: first.reservation.id, inputTokens: 100, outputTokens: 150, costCents: 7 });
      expect(await used(key, limit!)).toEqual([250n]);
      await eventually(async () => expect((await verify(key, { reserveTokens: 750 }, other)).code).toBe('VALID'));
    });

    it('is charged with what was reserved where a report names no tokens, and with nothing for 0', async () => {
      const [key, limit] = await limited({ unit: 'tokens', amount: 1_000n });
      const ids: string[] = [];
      for (const seconds of [60, 300])
        ids.push((await verify(key, { reserveTokens: 200, reservationTtlSeconds: seconds })).reservation.id);
      await report({ reservationId: ids[0], costCents: 1 });
      expect(await used(key, limit!)).toEqual([200n]);
      await report({ reservationId: ids[1], inputTokens: 0 });
      expect(await used(key, limit!)).toEqual([200n]);
    });

    it('gets tokens and cents back from a release', async () => {
      const [key, tokens, cents] = await limited(
        { unit: 'tokens', amount: 1_000n },
        { amount: 10n * CENT, per: 'day' },
      );
      for (const reservationTtlSeconds of [60, 300]) {
        const { reservation } = await verify(key, { reserveTokens: 900, reserveCents: 9, reservationTtlSeconds });
        await app.post('/reservations/release', { token: service.token, body: { reservationId: reservation.id } });
        await eventually(async () => {
          const [row] = await app.dataSource.query<{ leased: string }[]>(
            'SELECT sum(leased_micro_cents) AS leased FROM budget_account WHERE limit_id IN ($1, $2)',
            [tokens!.id, cents!.id],
          );
          expect(row!.leased).toBe('0');
        });
      }
      expect(await used(key, tokens!, cents!)).toEqual([0n, 0n]);
    });

    it('admits a call without reserveTokens while something is left, and is charged with its report', async () => {
      const [key, limit] = await limited({ unit: 'tokens', amount: 100n, per: 'week' });
      expect((await verify(key)).code).toBe('VALID');
      const { reservation } = await verify(key, { reserveCents: 1 });
      await report({ reservationId: reservation.id, inputTokens: 70, costCents: 1 });
      await report({ apiKeyId: key.id, inputTokens: 40, outputTokens: 40 });
      expect(await used(key, limit!)).toEqual([150n]);
      await eventually(async () => expect((await verify(key)).code).toBe('BUDGET_EXCEEDED'));
    });

    it('says of a call that it can never cover it', async () => {
      const [key] = await limited({ unit: 'tokens', amount: 100n, per: 'day' });
      const verdict = await verify(key, { reserveTokens: 101 });
      expect(verdict).toMatchObject({ code: 'BUDGET_EXCEEDED', detail: expect.stringMatching(/it never fits\.$/) });
      expect(verdict.retryAfterSeconds).toBeUndefined();
      const { checks } = await verify(key, { reserveTokens: 101, dryRun: true, explain: true });
      expect(checks.at(-1)).toMatchObject({ check: 'limit', outcome: 'failed' });
    });

    it.each([-1, 1.5, 1_000_000_000_001, '5'])('refuses %s as reserveTokens', async (reserveTokens) => {
      const [key] = await limited();
      const answer = await app.post('/verify', { token: service.token, body: { key: key.secret, reserveTokens } });
      expect([answer.status, answer.body.errors[0].path]).toEqual([400, 'reserveTokens']);
    });
  });
});
