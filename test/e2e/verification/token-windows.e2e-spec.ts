import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { reconcileBudgets, reconcileUsage } from '../../../src/usage/reconcile.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { storeLimit, type StoredLimit } from '../../support/made-limits.js';
import { issueServiceKey } from '../../support/management.js';

interface Key {
  readonly id: string;
  readonly secret: string;
}

describe('Limits of tokens by minute', () => {
  let app: TestApp;
  let other: TestApp;
  let admin: string;
  let service: TestUser;
  let gateway: string;
  let names = 0;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    other = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' }, app.database);
    admin = await app.adminToken();
    service = await app.addUser(['gateway']);
    gateway = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });
  afterEach(async () => {
    expect([...(await reconcileUsage(app.dataSource)), ...(await reconcileBudgets(app.dataSource))]).toEqual([]);
  });

  const project = async () =>
    (await app.post('/projects', { token: admin, body: { name: `Tokens ${++names}` } })).body.id as string;
  const keyOf = async (projectId: string): Promise<Key> => {
    const { body } = await app.post('/api-keys', { token: admin, body: { projectId } });
    return { id: body.apiKey.id, secret: body.secretKey };
  };
  /** A limit of 1 000 tokens a minute of a project of its own, which no replica knows before, and a key in it. */
  const limited = async (more: Partial<StoredLimit> = {}): Promise<[Key, string, string]> => {
    const projectId = await project();
    const id = await storeLimit(app, { unit: 'tokens', amount: 1_000, per: 'minute', projectId, ...more });
    return [await keyOf(projectId), id, projectId];
  };
  const verify = async (key: Key, body: object = {}, on = app) =>
    (await on.post('/verify', { token: service.token, body: { key: key.secret, ...body } })).body;
  const reserved = async (key: Key, reserveTokens: number, more: object = {}) => {
    const { code, reservation } = await verify(key, { reserveTokens, ...more });
    expect(code).toBe('VALID');
    return reservation.id as string;
  };
  const report = async (event: object, on = app) => {
    const body = { events: [{ id: `e${++names}`, ...event }] };
    const answer = await on.post('/usage', { token: service.token, body });
    expect(answer.body).toMatchObject({ accepted: 1 });
    return answer.body.results[0];
  };
  const release = async (reservationId: string, on = app) =>
    expect((await on.post('/reservations/release', { token: service.token, body: { reservationId } })).status).toBe(
      200,
    );
  /** Until a call is let in: the other replica may hold an eighth of what is free ahead, for a second at most. */
  const admitted = async (key: Key, reserveTokens: number, on = app) => {
    let id = '';
    await eventually(async () => {
      const { code, reservation } = await verify(key, { reserveTokens }, on);
      expect(code).toBe('VALID');
      id = reservation.id;
    });
    return id;
  };
  /** What counts in the window of a limit, once replicas have given back what no call has used. */
  const counted = (limitId: string, tokens: number) =>
    eventually(async () => {
      const [row] = await app.dataSource.query<{ sum: number }[]>(
        'SELECT sum(sums[1])::integer AS sum FROM rate_window WHERE limit_id = $1',
        [limitId],
      );
      expect(row!.sum).toBe(tokens);
    });

  it('hold what calls reserve, on every replica, and give back what they did not use', async () => {
    const [key, id] = await limited();
    const first = await reserved(key, 600);
    const refused = await verify(key, { reserveTokens: 500 }, other);
    expect(refused).toMatchObject({
      ...{ code: 'RATE_LIMITED', detail: 'A limit of tokens of the project of the key does not cover this call.' },
      limit: { id, unit: 'tokens', per: 'minute', state: 'exhausted' },
    });
    expect(refused.retryAfterSeconds).toBeGreaterThan(0);
    await report({ reservationId: first, inputTokens: 80, outputTokens: 120 }, other);
    await counted(id, 200);
    const second = await admitted(key, 800, other);
    await counted(id, 1_000);
    expect((await verify(key)).code).toBe('RATE_LIMITED');
    await release(second);
    await counted(id, 200);
    await admitted(key, 800);
  });

  it('are asked again by the replica that has freed tokens, though it has just refused', async () => {
    const [key] = await limited();
    const first = await reserved(key, 1_000);
    // Far less than there is: what a replica takes ahead may be missing.
    const refused = await verify(key, { reserveTokens: 500 });
    expect(refused.code).toBe('RATE_LIMITED');
    await release(first);
    expect((await verify(key, { reserveTokens: 500 })).code).toBe('VALID');
  });

  it('count each end of a reservation once, also a late one and one without tokens', async () => {
    const [key, id] = await limited();
    const [settled, twice, late, silent, beyond] = [
      ...[await reserved(key, 100), await reserved(key, 100), await reserved(key, 100), await reserved(key, 100)],
      await reserved(key, 100),
    ];
    await counted(id, 500);
    const event = { id: 'once', reservationId: settled, inputTokens: 10 };
    await report(event);
    await app.post('/usage', { token: service.token, body: { events: [event] } });
    expect(
      (await app.post('/reservations/release', { token: service.token, body: { reservationId: settled } })).status,
    ).toBe(409);
    await counted(id, 410);
    await release(twice!);
    await release(twice!);
    await counted(id, 310);
    await release(late!);
    expect(await report({ reservationId: late, outputTokens: 30 })).toMatchObject({ late: true });
    await counted(id, 240);
    await report({ reservationId: silent });
    await counted(id, 240);
    await report({ reservationId: beyond, inputTokens: 150 });
    await counted(id, 290);
  });

  it('let a call that reserves none in while anything is left, and count its report', async () => {
    const [key, id] = await limited();
    expect(await verify(key)).toMatchObject({ code: 'VALID' });
    await counted(id, 0);
    await report({ apiKeyId: key.id, inputTokens: 900, outputTokens: 300 });
    await counted(id, 1_200);
    await eventually(async () => expect((await verify(key)).code).toBe('RATE_LIMITED'));
    const headers = { 'x-latchkey-gateway-key': gateway, 'x-api-key': key.secret };
    const door = await app.get('/forward-auth', { headers });
    expect([door.status, Number(door.headers.get('retry-after')) > 0]).toEqual([429, true]);
  });

  it('refuse a call that is larger than the limit for good', async () => {
    const [key, id] = await limited();
    const never = await verify(key, { reserveTokens: 1_001 });
    expect(never).toMatchObject({
      ...{ code: 'RATE_LIMITED', limit: { id } },
      detail: expect.stringMatching(/^The call asks for more than a limit of tokens .* it never fits\.$/),
    });
    expect(never.retryAfterSeconds).toBeUndefined();
    await admitted(key, 1_000);
  });

  it('refuse none that only observe, however large', async () => {
    const [observed, id] = await limited({ mode: 'observe' });
    await release(await reserved(observed, 3_000_000_000));
    // More than a bucket counts: it stays until the bucket leaves.
    await counted(id, 2_000_000_000);
    await reserved(observed, 1);
  });

  it('refuse every call for good where they allow none', async () => {
    const [key] = await limited({ amount: 0 });
    for (const body of [{}, { reserveTokens: 1 }, { dryRun: true }]) {
      const refused = await verify(key, body);
      expect(refused.code).toBe('RATE_LIMITED');
      expect(refused.retryAfterSeconds).toBeUndefined();
    }
  });

  it('take nothing for what something else refuses, or that is only tried', async () => {
    const [key, id, projectId] = await limited();
    const narrow = await storeLimit(app, { unit: 'tokens', amount: 50, projectId });
    expect((await verify(key, { reserveTokens: 60 })).code).toBe('BUDGET_EXCEEDED');
    expect((await verify(key, { reserveTokens: 40, dryRun: true })).code).toBe('VALID');
    await counted(id, 0);
    await reserved(key, 40);
    await counted(id, 40);
    expect(narrow).not.toBe(id);
  });

  it('give each key a window of its own, and bind the models that they name', async () => {
    const [key, id, projectId] = await limited({ each: 'key', models: ['gpt-4*'] });
    const second = await keyOf(projectId);
    await reserved(key, 1_000, { model: 'gpt-4o' });
    await reserved(second, 1_000, { model: 'gpt-4o' });
    expect((await verify(key, { reserveTokens: 1, model: 'gpt-4o' })).code).toBe('RATE_LIMITED');
    // Leaving the name out is no way around.
    expect((await verify(key, { reserveTokens: 1 })).code).toBe('RATE_LIMITED');
    await reserved(key, 5_000, { model: 'small' });
    await report({ apiKeyId: key.id, model: 'small', inputTokens: 70 });
    await report({ apiKeyId: key.id, model: 'gpt-4o', inputTokens: 30 });
    await counted(id, 2_030);
  });

  it('end with slots and accounts that one reservation names, and count on where it is renewed', async () => {
    const [key, id, projectId] = await limited();
    const slots = await storeLimit(app, { unit: 'slots', amount: 1, projectId });
    const month = await storeLimit(app, { unit: 'tokens', amount: 10_000, projectId });
    const cents = await storeLimit(app, { unit: 'cents', amount: 5_000_000, projectId });
    const fields = { reserveCents: 2, reservationTtlSeconds: 120 };
    const one = await reserved(key, 400, fields);
    expect(one.length).toBeLessThanOrEqual(1_024);
    const renewed = await app.post('/reservations/renew', {
      ...{ token: service.token, body: { reservationId: one, ttlSeconds: 600 } },
    });
    expect([renewed.status, renewed.body.renewed]).toEqual([200, true]);
    await counted(id, 400);
    await report({ reservationId: one, inputTokens: 100, costCents: 1 });
    await counted(id, 100);
    const rows = await app.dataSource.query<{ id: string; spent: string; leased: string }[]>(
      'SELECT key_id AS id, spent_micro_cents AS spent, leased_micro_cents AS leased FROM budget_account WHERE limit_id IS NOT NULL AND key_id = ANY($1)',
      [[slots, month, cents]],
    );
    expect(new Map(rows.map(({ id: of, spent, leased }) => [of, [spent, leased]]))).toEqual(
      new Map([
        [slots, ['0', '0']],
        [month, ['100', '0']],
        [cents, ['1000000', '0']],
      ]),
    );
  });

  it('are decided for each of a batch', async () => {
    const [key, id] = await limited();
    const items = [400, 700, 500].map((reserveTokens) => ({ key: key.secret, reserveTokens }));
    const { body } = await app.post('/verify/batch', { token: service.token, body: { items } });
    expect(body.results.map(({ code }: { code: string }) => code).sort()).toEqual(['RATE_LIMITED', 'VALID', 'VALID']);
    await counted(id, 900);
  });
});
