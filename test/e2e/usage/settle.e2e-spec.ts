import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { reserve } from '../../support/reserve.js';

describe('Settling by POST /usage and POST /reservations/release', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const newKey = async (budgetLimitCents: number, budgetType = 'total') =>
    (await app.post('/api-keys', { token: admin, body: { budgetLimitCents, budgetType } })).body.apiKey.id as string;
  const hold = async (keyId: string, cents: number, type: 'total' | 'monthly' = 'total') =>
    (await reserve(app, keyId, { cents, type, callerId: service.id }))!;
  const report = (...events: unknown[]) => app.post('/usage', { token: service.token, body: { events } });
  const release = (reservationId: string, token = service.token) =>
    app.post('/reservations/release', { token, body: { reservationId } });
  const budgetOf = async (keyId: string) => (await app.get(`/api-keys/${keyId}/usage`, { token: admin })).body.budget;

  describe('200', () => {
    it('replaces what is held by what it cost, and frees the rest at once', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 8);
      expect(await budgetOf(key)).toEqual({
        type: 'total',
        limitCents: 10,
        raisedByCents: 0,
        raisedUntil: null,
        spentCents: 0,
        spentMicroCents: '0',
        heldCents: 8,
        setAsideCents: 0,
        remainingCents: 2,
        periodStart: null,
        periodEnd: null,
        usedUpAt: null,
      });
      expect(await reserve(app, key, { cents: 3, callerId: service.id })).toBeNull();
      const { status, body } = await report({ id: 'a', reservationId, costCents: 1.25 });
      expect([status, body]).toEqual([
        200,
        { accepted: 1, duplicates: 0, results: [{ id: 'a', outcome: 'accepted' }] },
      ]);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 1.25, heldCents: 0, remainingCents: 8.75 });
    });

    it('tells what reservations hold apart from what this replica has set aside', async () => {
      // Small holds of a large budget are taken from a slice, the rest of which stays here for a second.
      for (let tries = 0; ; tries += 1) {
        const created = await app.post('/api-keys', { token: admin, body: { budgetLimitCents: 100 } });
        const { secretKey: key, apiKey } = created.body as { secretKey: string; apiKey: { id: string } };
        for (let calls = 0; calls < 4; calls += 1) {
          const { body } = await app.post('/verify', { token: service.token, body: { key, reserveCents: 1 } });
          expect(body.code).toBe('VALID');
        }
        const budget = await budgetOf(apiKey.id);
        // Nothing set aside: a slow machine has handed it back already, and may be about to.
        if (budget.setAsideCents === 0 && tries < 20) continue;
        expect(budget).toMatchObject({ heldCents: 4, remainingCents: 96, spentCents: 0 });
        expect(budget.setAsideCents).toBeGreaterThan(0);
        return;
      }
    });

    it('lets the next verify have what a settle or release has freed on this replica', async () => {
      const created = await app.post('/api-keys', { token: admin, body: { budgetLimitCents: 1 } });
      const verify = async () =>
        (
          await app.post('/verify', {
            token: service.token,
            body: { key: created.body.secretKey as string, reserveCents: 1 },
          })
        ).body;
      for (let round = 0; round < 5; round += 1) {
        const reservationId = (await verify()).reservation.id as string;
        expect((await verify()).code).toBe('BUDGET_EXCEEDED');
        if (round % 2 === 0) await report({ id: `free-${round}`, reservationId, costCents: 0 });
        else await release(reservationId);
        const next = await verify();
        expect(next.code).toBe('VALID');
        await release(next.reservation.id as string);
      }
    });

    it('charges a cost whatever the labels say, says which were cut, and knows the event again', async () => {
      const key = await newKey(10);
      const event = {
        id: 'a',
        reservationId: await hold(key, 8),
        costCents: 1.25,
        model: `gpt-4o\n${'x'.repeat(200)}`,
        statusCode: 1000,
      };
      const { status, body } = await report(event);
      expect([status, body.results]).toEqual([
        200,
        [{ id: 'a', outcome: 'accepted', labelsCut: expect.arrayContaining(['model', 'statusCode']) }],
      ]);
      expect((await report(event)).body.results).toEqual([
        { id: 'a', outcome: 'duplicate', labelsCut: expect.arrayContaining(['model', 'statusCode']) },
      ]);
      const [stored] = await app.dataSource.query<{ model: string; cost: string }[]>(
        'SELECT model, cost_micro_cents AS cost FROM usage_event WHERE key_id = $1',
        [key],
      );
      expect(stored).toEqual({ model: `gpt-4o${'x'.repeat(122)}`, cost: '1250000' });
    });

    it('keeps no cost and a cost of 0 apart: the first is what was reserved', async () => {
      const reservationId = await hold(await newKey(10), 4);
      await report({ id: 'a', reservationId });
      expect((await report({ id: 'a', reservationId, costCents: 0 })).body.code).toBe('USAGE_CONFLICT');
    });

    it('charges what was reserved when no cost is named', async () => {
      const key = await newKey(10);
      await report({ id: 'a', reservationId: await hold(key, 4), apiKeyId: key });
      expect(await budgetOf(key)).toMatchObject({ spentCents: 4, heldCents: 0 });
      expect((await app.get(`/api-keys/${key}`, { token: admin })).body.totalCostCents).toBe(4);
    });

    it('charges more than was reserved, and says how much more', async () => {
      const key = await newKey(10);
      const { body } = await report({ id: 'a', reservationId: await hold(key, 4), costCents: 12 });
      expect(body.results).toEqual([{ id: 'a', outcome: 'accepted', excessCents: 8 }]);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 12, remainingCents: 0 });
    });

    it('charges a cost that nobody reserved', async () => {
      const key = await newKey(10);
      await report({ id: 'a', apiKeyId: key, costCents: 2.5 });
      expect(await budgetOf(key)).toMatchObject({ spentCents: 2.5, remainingCents: 7.5 });
    });

    it('charges a late report, and says that it is late', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      await app.dataSource.query(
        'WITH gone AS (DELETE FROM budget_lease WHERE key_id = $1) UPDATE budget_account SET leased_micro_cents = 0 WHERE key_id = $1',
        [key],
      );
      const { body } = await report({ id: 'a', reservationId, costCents: 3 });
      expect(body.results).toEqual([{ id: 'a', outcome: 'accepted', late: true }]);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 3 });
    });

    it('charges the month of a monthly budget, and says when it ends', async () => {
      const key = await newKey(10, 'monthly');
      await report({ id: 'a', reservationId: await hold(key, 4, 'monthly'), costCents: 3 });
      const budget = await budgetOf(key);
      expect(budget).toMatchObject({ type: 'monthly', spentCents: 3, heldCents: 0 });
      expect([budget.periodStart, budget.periodEnd]).toEqual([
        expect.stringMatching(/-01T00:00:00\.000Z$/),
        expect.stringMatching(/-01T00:00:00\.000Z$/),
      ]);
    });

    it('settles the reservation of a key that has been deleted', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      await app.dataSource.query('DELETE FROM api_key WHERE id = $1', [key]);
      expect((await report({ id: 'a', reservationId, costCents: 1 })).body.accepted).toBe(1);
    });

    it('counts a settle once that comes three times at once, over two replicas', async () => {
      const key = await newKey(10);
      const event = { id: 'a', reservationId: await hold(key, 4), costCents: 3 };
      const answers = await Promise.all(
        [app, other, app].map((one) => one.post('/usage', { token: service.token, body: { events: [event] } })),
      );
      expect(answers.map(({ body }) => body.results[0].outcome).sort()).toEqual(['accepted', 'duplicate', 'duplicate']);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 3, heldCents: 0 });
    });

    it('drops a reservation, a second time without effect', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      for (let time = 0; time < 2; time += 1) {
        const { status, body } = await release(reservationId);
        expect([status, body]).toEqual([200, { released: true, cents: 4 }]);
      }
      expect(await budgetOf(key)).toMatchObject({ spentCents: 0, heldCents: 0, remainingCents: 10 });
    });

    it('charges as late what is reported after its release', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      await release(reservationId);
      const { body } = await report({ id: 'a', reservationId, costCents: 3 });
      expect(body.results).toEqual([{ id: 'a', outcome: 'accepted', late: true }]);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 3, heldCents: 0 });
    });
  });

  describe('400', () => {
    it('answers a reservation of another caller like a forged one', async () => {
      const stranger = await app.addUser(['gateway']);
      const reservationId = await hold(await newKey(10), 4);
      const foreign = await release(reservationId, stranger.token);
      const forged = await release(`${reservationId.slice(0, -2)}AA`);
      expect([foreign.status, foreign.body.errors]).toEqual([
        400,
        [{ path: 'reservationId', message: 'unknown reservation, or made by another caller' }],
      ]);
      expect(forged.body.errors).toEqual(foreign.body.errors);
      const settled = await app.post('/usage', {
        token: stranger.token,
        body: { events: [{ id: 'a', reservationId }] },
      });
      expect(settled.body.errors).toEqual([
        { path: 'events.0.reservationId', message: 'unknown reservation, or made by another caller' },
      ]);
    });
  });

  describe('401 and 403', () => {
    it('needs the permission to report', async () => {
      const user = await app.addUser(['creator']);
      expect((await app.post('/reservations/release', { body: { reservationId: 'x' } })).status).toBe(401);
      expect((await release('x', user.token)).body).toMatchObject({ permission: 'platform:usage:report' });
    });
  });

  describe('409', () => {
    it('refuses a second settle under another id, without a charge, and leaves that id free', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      await report({ id: 'first', reservationId, costCents: 1 });
      const { status, body } = await report(
        { id: 'second', reservationId, costCents: 2 },
        { id: 'third', apiKeyId: key, costCents: 0.5 },
      );
      expect([status, body.code, body.accepted]).toEqual([409, 'ALREADY_SETTLED', 1]);
      expect(body.results).toEqual([
        { id: 'second', outcome: 'already-settled' },
        { id: 'third', outcome: 'accepted' },
      ]);
      expect(await budgetOf(key)).toMatchObject({ spentCents: 1.5 });
      expect((await report({ id: 'second', apiKeyId: key, costCents: 1 })).body.accepted).toBe(1);
    });

    it('lets one of two settles in the same request win', async () => {
      const reservationId = await hold(await newKey(10), 4);
      const { status, body } = await report(
        { id: 'x', reservationId, costCents: 1 },
        { id: 'y', reservationId, costCents: 1 },
      );
      expect([status, body.results.map(({ outcome }: { outcome: string }) => outcome)]).toEqual([
        409,
        ['accepted', 'already-settled'],
      ]);
    });

    it('does not release what was settled', async () => {
      const key = await newKey(10);
      const reservationId = await hold(key, 4);
      await report({ id: 'a', reservationId, costCents: 3 });
      expect((await release(reservationId)).body.code).toBe('ALREADY_SETTLED');
      expect(await budgetOf(key)).toMatchObject({ spentCents: 3 });
    });
  });
});
