import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Metrics } from '../../../src/common/metrics.js';
import type { EntityManager } from 'typeorm';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { storeLimit, type StoredLimit } from '../../support/made-limits.js';
import { issueServiceKey } from '../../support/management.js';
import { askAs } from '../gateways/gateway.js';

interface Key {
  readonly id: string;
  readonly secret: string;
}

const ASSUMED = 'The call gives no reserveTokens: the defaultReserveTokens of the key are assumed.';

describe('Tokens that a call holds unasked', () => {
  let app: TestApp;
  let admin: string;
  let service: TestUser;
  let gateway: string;
  let names = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000', GATEWAY_PORT: '0' });
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
    gateway = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(() => app.stop());
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  /** A key whose calls hold 400 tokens, in a project with limits, of 1 000 tokens a month if nothing else is said. */
  const limited = async (
    limits: readonly Partial<StoredLimit>[] = [{}],
    defaultReserveTokens: number | null = 400,
  ): Promise<[Key, ...string[]]> => {
    const named = await app.post('/projects', { token: admin, body: { name: `Assumed ${++names}` } });
    const projectId = named.body.id as string;
    const ids: string[] = [];
    for (const more of limits) ids.push(await storeLimit(app, { unit: 'tokens', amount: 1_000, projectId, ...more }));
    const { body } = await app.post('/api-keys', { token: admin, body: { projectId, defaultReserveTokens } });
    expect(body.apiKey.defaultReserveTokens).toBe(defaultReserveTokens);
    return [{ id: body.apiKey.id, secret: body.secretKey }, ...ids];
  };
  const verify = async (key: Key, body: object = {}) =>
    (await app.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const report = async (event: object) => {
    const body = { events: [{ id: `e${++names}`, ...event }] };
    expect((await app.post('/usage', { token: service.token, body })).body).toMatchObject({ accepted: 1 });
  };
  const codes = async (key: Key, count: number) => {
    const found: string[] = [];
    for (let call = 0; call < count; call += 1) found.push((await verify(key)).code);
    return found;
  };
  const countBlocked = async (tx: EntityManager) => {
    const [row] = await tx.query<{ count: number }[]>(
      `SELECT count(*)::integer AS count FROM pg_stat_activity
        WHERE datname = current_database() AND pg_backend_pid() = ANY(pg_blocking_pids(pid))`,
    );
    return row!.count;
  };
  const spent = async (limitId: string) => {
    const [row] = await app.dataSource.query<{ spent: number }[]>(
      'SELECT sum(spent_micro_cents)::integer AS spent FROM budget_account WHERE limit_id = $1',
      [limitId],
    );
    return row!.spent;
  };

  it.each(['month', 'minute'])(
    'are held by %s, told as assumed, and free again once the call is reported',
    async (per) => {
      const [key] = await limited([{ per }]);
      const { reservation } = await verify(key);
      expect(reservation).toMatchObject({ cents: 0, tokens: 400, assumed: true });
      expect(Date.parse(reservation.expiresAt)).toBeGreaterThan(Date.now());
      expect(await codes(key, 2)).toEqual(['VALID', per === 'minute' ? 'RATE_LIMITED' : 'BUDGET_EXCEEDED']);
      await report({ reservationId: reservation.id, inputTokens: 10, outputTokens: 20 });
      await eventually(async () => expect((await verify(key)).code).toBe('VALID'));
    },
  );

  it('are not assumed of a call that says 0, or another number', async () => {
    const [key] = await limited();
    expect((await verify(key, { reserveTokens: 0 })).reservation).toBeUndefined();
    const { reservation } = await verify(key, { reserveTokens: 50 });
    expect(reservation).toMatchObject({ tokens: 50 });
    expect(reservation.assumed).toBeUndefined();
    // Null is absent.
    expect((await verify(key, { reserveTokens: null })).reservation).toMatchObject({ tokens: 400, assumed: true });
  });

  it('are held beside what else the call reserves', async () => {
    const [key, , cents] = await limited([{}, { unit: 'cents', amount: 5_000_000 }]);
    const { reservation } = await verify(key, { reserveCents: 2, reservationTtlSeconds: 300 });
    expect(reservation).toMatchObject({ cents: 2, tokens: 400, assumed: true });
    await report({ reservationId: reservation.id, costCents: 1, inputTokens: 30 });
    expect(await spent(cents!)).toBe(1_000_000);
  });

  it('are charged where the report names no tokens', async () => {
    const [key, limit] = await limited();
    await report({ reservationId: (await verify(key)).reservation.id });
    expect(await spent(limit!)).toBe(400);
  });

  it('are assumed where a limit of tokens binds the call, and nowhere else', async () => {
    const [free] = await limited([]);
    expect(await verify(free)).toMatchObject({ code: 'VALID' });
    expect((await verify(free)).reservation).toBeUndefined();
    const [other] = await limited([{ unit: 'requests' }, { unit: 'slots', amount: 5 }]);
    const { reservation } = await verify(other);
    expect(reservation.tokens).toBeUndefined();
    expect(reservation.assumed).toBeUndefined();
    const [byModel] = await limited([{ models: ['gpt-4*'] }]);
    expect((await verify(byModel, { model: 'small' })).reservation).toBeUndefined();
    expect((await verify(byModel, { model: 'gpt-4o' })).reservation).toMatchObject({ assumed: true });
    expect((await verify(byModel)).reservation).toMatchObject({ assumed: true });
    const [silent] = await limited([{}], null);
    expect((await verify(silent)).reservation).toBeUndefined();
  });

  it('are told where they are why a call never fits, by a verify, a dry run and an explanation', async () => {
    const [key] = await limited([{ amount: 399 }]);
    const detail = `The call asks for more than a limit of tokens of the project of the key allows at all: it never fits. ${ASSUMED}`;
    const refused = await verify(key);
    expect(refused).toMatchObject({ code: 'BUDGET_EXCEEDED', detail });
    expect(refused.retryAfterSeconds).toBeUndefined();
    expect(await verify(key, { dryRun: true })).toMatchObject({ code: 'BUDGET_EXCEEDED', detail });
    const { body } = await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: {} });
    expect(body).toMatchObject({ valid: false, detail });
    expect(body.checks.at(-1)).toMatchObject({
      check: 'limit',
      outcome: 'failed',
      detail: expect.stringContaining(ASSUMED),
    });
    expect((await verify(key, { reserveTokens: 300 })).code).toBe('VALID');
  });

  it('are assumed in no limit of each subject where the call names none, by a dry run no more than by a verify', async () => {
    const [key] = await limited([{ each: 'subject' }, {}]);
    const { code, detail } = await verify(key);
    expect(code).toBe('SUBJECT_REQUIRED');
    expect(detail).not.toContain(ASSUMED);
    expect(await verify(key, { dryRun: true })).toMatchObject({ code, detail });
    const [observed] = await limited([{ each: 'subject', mode: 'observe' }]);
    const { body } = await app.post(`/api-keys/${observed.id}/explain`, { token: admin, body: {} });
    expect(body.checks.at(-1)).toMatchObject({ check: 'limit', outcome: 'passed' });
    expect(JSON.stringify(body)).not.toContain(ASSUMED);
    expect((await verify(observed)).reservation).toBeUndefined();
  });

  it('are held by each call of a batch, and by none of a dry run', async () => {
    const [key] = await limited();
    for (const _ of [1, 2, 3]) expect((await verify(key, { dryRun: true })).code).toBe('VALID');
    const items = [1, 2, 3].map(() => ({ key: key.secret }));
    const { body } = await app.post('/verify/batch', { token: service.token, body: { items } });
    expect(body.results.map(({ code }: { code: string }) => code).sort()).toEqual([
      'BUDGET_EXCEEDED',
      'VALID',
      'VALID',
    ]);
  });

  it('are held by gateways, which get the reservation to settle', async () => {
    const [key] = await limited();
    const ask = () =>
      app.get('/forward-auth', { headers: { 'x-latchkey-gateway-key': gateway, 'x-api-key': key.secret } });
    const first = await ask();
    expect(first.status).toBe(200);
    const id = first.headers.get('x-latchkey-reservation-id')!;
    expect(id.length).toBeGreaterThan(20);
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 403]);
    const released = await app.post('/reservations/release', { apiKey: gateway, body: { reservationId: id } });
    expect(released.status).toBe(200);
    await eventually(async () => expect((await ask()).status).toBe(200));
  });

  it('are held by a gateway without a key, which gets no id to settle by', async () => {
    const { GatewayListener } = await import('../../../src/gateways/gateway-listener.js');
    const port = app.app.get(GatewayListener, { strict: false }).port!;
    const [key] = await limited([{ amount: 700 }]);
    const ask = () => askAs(port, 'GET', '/api/v1/forward-auth', [['X-API-Key', key.secret]]);
    const { status, headers } = await ask();
    expect([status, headers['x-latchkey-reservation-id']]).toEqual([200, '']);
    expect((await ask()).headers['x-latchkey-code']).toBe('BUDGET_EXCEEDED');
  });

  it('are told alike by the short cut and by the ordinary route', async () => {
    const [key] = await limited();
    const answered = async () => {
      const text = await app.app.get(Metrics).registry.metrics();
      return Number(/^latchkey_short_cut_requests_total\{outcome="answered"\} (\d+)$/m.exec(text)?.[1]);
    };
    const before = await answered();
    const short = (await app.post('/verify', { apiKey: gateway, body: { key: key.secret } })).body.reservation;
    expect(await answered()).toBe(before + 1);
    const ordinary = (await verify(key)).reservation;
    expect(Object.keys(short)).toEqual(Object.keys(ordinary));
    expect([short.tokens, short.assumed]).toEqual([ordinary.tokens, ordinary.assumed]);
  });

  it('are those of the key when the call is answered, if it changes while the call waits', async () => {
    const [key, limit] = await limited();
    // Longer than a lease that calls share, so that each call asks PostgreSQL.
    const ask = () => verify(key, { reservationTtlSeconds: 300 });
    expect((await ask()).reservation.tokens).toBe(400);
    let defaultReserveTokens = 10;
    // A busy machine may give up the call, or change the key too late.
    await eventually(async () => {
      defaultReserveTokens += 1;
      const waiting = await app.dataSource.transaction(async (tx) => {
        await tx.query('SELECT FROM budget_account WHERE limit_id = $1 FOR UPDATE', [limit]);
        const call = ask();
        await eventually(async () => expect(await countBlocked(tx)).toBe(1));
        await app.patch(`/api-keys/${key.id}`, { token: admin, body: { defaultReserveTokens } });
        await app.applied();
        return { call };
      });
      expect((await waiting.call).reservation?.tokens).toBe(defaultReserveTokens);
    });
    // What the first decision had reserved was released.
    await eventually(async () => {
      const [row] = await app.dataSource.query<{ held: number }[]>(
        'SELECT sum(leased_micro_cents)::integer AS held FROM budget_account WHERE limit_id = $1',
        [limit],
      );
      expect(row!.held).toBeLessThan(800);
    });
  });

  it('follow a change of the key, and are cleared by null', async () => {
    const [key] = await limited();
    const set = async (defaultReserveTokens: number | null) =>
      app.patch(`/api-keys/${key.id}`, { token: admin, body: { defaultReserveTokens } });
    expect((await set(70)).body.defaultReserveTokens).toBe(70);
    await eventually(async () => expect((await verify(key)).reservation).toMatchObject({ tokens: 70 }));
    expect((await set(null)).status).toBe(200);
    await eventually(async () => expect((await verify(key)).reservation).toBeUndefined());
  });
});
