import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { dataSource } from '../../../src/database/data-source.js';
import { Metrics } from '../../../src/common/metrics.js';
import { RefusedCallWriter } from '../../../src/verification/refusals/refused-call-writer.js';
import { RefusedCalls } from '../../../src/verification/refusals/refused-calls.js';
import { VerdictRecorder } from '../../../src/usage/verdict-recorder.js';
import { mint } from '../../../src/api-keys/secret.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { createTestDatabase } from '../../support/postgres.js';
import { type IssuedKey, issueKey, issueServiceKey } from '../../support/management.js';

interface Refusal {
  id: string;
  code: string;
  [field: string]: unknown;
}

const SETTINGS = { MAX_ACTIVE_KEYS: '10000' };
const NO_KEY = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

/** Writes what was noted, as the second does. */
async function written(app: TestApp): Promise<void> {
  await app.app.get(RefusedCallWriter, { strict: false }).flush();
  await app.app.get(RefusedCallWriter, { strict: false }).flush();
}

describe('GET /api-keys/:id/refusals', () => {
  let app: TestApp;
  let admin: string;
  let ada: TestUser;
  let gateway: IssuedKey;

  beforeAll(async () => {
    app = await TestApp.start({ ...SETTINGS, GATEWAY_PORT: '0' });
    admin = await app.adminToken();
    ada = await app.addUser(['creator'], { maxActiveKeys: 1_000 });
    gateway = await issueServiceKey(app, admin);
  });
  afterAll(() => app.stop());

  const addKey = (fields: object = {}) => issueKey(app, ada.token, { allowedIps: ['10.0.0.0/8'], ...fields });
  const verify = (key: string, question: object = {}, headers: Record<string, string> = {}) =>
    app.post('/verify', { apiKey: gateway.secret, headers, body: { key, ...question } });
  const refusals = async (id: string, query: Record<string, string> = {}, token = admin) => {
    await written(app);
    return app.get(`/api-keys/${id}/refusals?${new URLSearchParams(query).toString()}`, { token });
  };
  const data = async (id: string, query: Record<string, string> = {}) =>
    (await refusals(id, query)).body.data as Refusal[];

  describe('200', () => {
    it('has what was asked about a call that was refused, and who asked', async () => {
      const key = await addKey();
      const question = {
        ip: '203.0.113.7:443',
        model: 'gpt-4o',
        chatbot: 'bot',
        scopes: ['a'],
        cost: 2,
        environment: 'live',
      };
      const answer = await verify(key.secret, { ...question, reserveCents: 1.5 }, { 'x-request-id': 'call-4711' });
      const { status, body } = await refusals(key.id);
      expect([status, body]).toEqual([
        200,
        {
          data: [
            {
              ...{ id: expect.stringMatching(/^\d+$/), at: expect.any(String), code: 'IP_NOT_ALLOWED', via: 'verify' },
              ...{ detail: 'The address is not in the key’s list.', ip: '203.0.113.7', environment: 'live' },
              ...{ model: 'gpt-4o', chatbot: 'bot', scopes: ['a'], scopesLeftOut: 0, cost: 2, reserveCents: 1.5 },
              ...{ requestId: answer.headers.get('x-request-id'), clientRequestId: 'call-4711' },
              askedBy: { kind: 'key', id: gateway.id, name: 'A service' },
            },
          ],
          meta: {
            ...{ nextCursor: null, newest: expect.any(String), recording: 'full', keptHours: 48 },
            ...{ counted: expect.any(Number), kept: 1 },
          },
        },
      ]);
    });

    it('does not tell the owner of the key which service asked', async () => {
      const key = await addKey();
      await verify(key.secret);
      const { status, body } = await refusals(key.id, {}, ada.token);
      expect([status, body.data.length, 'askedBy' in body.data[0]]).toEqual([200, 1, false]);
    });

    it('has calls that were refused by every route, the short cut or not, and none that was allowed', async () => {
      const key = await addKey();
      await verify(key.secret);
      // With a query it is not plain: the ordinary route answers.
      await app.post('/verify?', { apiKey: gateway.secret, body: { key: key.secret } });
      const items = [{ key: key.secret, ip: '10.0.0.1' }, { key: key.secret }, { key: 'lk_live_none' }];
      await app.post('/verify/batch', { apiKey: gateway.secret, body: { items } });
      for (const route of ['forward-auth', 'ext-authz', 'ext-authz/chat'])
        await app.get(`/${route}`, { apiKey: key.secret, headers: { 'x-latchkey-gateway-key': gateway.secret } });
      await app.post(`/api-keys/${key.id}/deactivate`, { token: admin, body: {} });
      await app.applied();
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      const rawBody = new URLSearchParams({ token: key.secret }).toString();
      const { body } = await app.post('/introspect', { apiKey: gateway.secret, headers: form, rawBody });
      expect(body).toEqual({ active: false });
      const found = await data(key.id);
      expect(found.map(({ via, code }) => `${via as string} ${code}`)).toEqual([
        'introspect DISABLED',
        ...Array.from({ length: 3 }, () => 'gateway IP_NOT_ALLOWED'),
        ...Array.from({ length: 3 }, () => 'verify IP_NOT_ALLOWED'),
      ]);
      expect(new Set(found.map(({ requestId }) => requestId)).size).toBe(7);
    });

    it('has nothing of a call that was only tried', async () => {
      const key = await addKey();
      await verify(key.secret, { dryRun: true });
      await app.post(`/api-keys/${key.id}/explain`, { token: admin, body: {} });
      expect(await data(key.id)).toEqual([]);
    });

    it('is gone through page by page, by code, and followed from where one was', async () => {
      const key = await addKey({ scopes: [] });
      for (let index = 0; index < 5; index += 1) await verify(key.secret, { ip: `192.0.2.${index}` });
      await verify(key.secret, { ip: '10.0.0.1', scopes: ['x'] });
      await written(app);
      const first = (await refusals(key.id, { limit: '4' })).body;
      expect(first.data.map(({ ip }: Refusal) => ip)).toEqual(['10.0.0.1', '192.0.2.4', '192.0.2.3', '192.0.2.2']);
      const second = (await refusals(key.id, { limit: '4', cursor: first.meta.nextCursor })).body;
      expect([second.data.map(({ ip }: Refusal) => ip), second.meta.nextCursor]).toEqual([
        ['192.0.2.1', '192.0.2.0'],
        null,
      ]);
      expect((await data(key.id, { code: 'INSUFFICIENT_SCOPE' })).map(({ scopes }) => scopes)).toEqual([['x']]);

      const nothingNew = (await refusals(key.id, { after: first.meta.newest })).body;
      expect([nothingNew.data, nothingNew.meta.newest]).toEqual([[], first.meta.newest]);
      await verify(key.secret, { ip: '198.51.100.1' });
      const tail = (await refusals(key.id, { after: first.meta.newest })).body;
      expect(tail.data.map(({ ip }: Refusal) => ip)).toEqual(['198.51.100.1']);
      expect(await data(key.id, { after: tail.meta.newest })).toEqual([]);
    });

    it('says how many were refused and how many are kept', async () => {
      const key = await addKey();
      const items = Array.from({ length: 100 }, () => ({ key: key.secret }));
      await app.post('/verify/batch', { apiKey: gateway.secret, body: { items } });
      await app.app.get(VerdictRecorder, { strict: false }).flush();
      await app.app.get(VerdictRecorder, { strict: false }).flush();
      const { body } = await refusals(key.id);
      // Of a minute; a run across its end has two.
      expect([20, 40]).toContain(body.meta.kept);
      expect([body.meta.counted, body.data.length]).toEqual([100, body.meta.kept]);
      const lost = /^latchkey_refused_calls_lost_total\{reason="minute"\} (\d+)$/m;
      const metrics = await app.app.get(Metrics, { strict: false }).registry.metrics();
      expect(Number(lost.exec(metrics)![1])).toBeGreaterThanOrEqual(60);
    });

    it('keeps no secret, whatever a service takes for a model or an address', async () => {
      const key = await addKey();
      await verify(key.secret, {
        ip: key.secret,
        model: key.secret,
        chatbot: `bot ${key.secret}`,
        scopes: [key.secret],
      });
      const shown = await data(key.id);
      const rows = await app.dataSource.query('SELECT * FROM refused_call WHERE key_id = $1', [key.id]);
      expect([shown.length, rows.length]).toEqual([1, 1]);
      expect(JSON.stringify([rows, shown])).not.toContain(key.secret.slice(0, 40));
    });
  });

  describe('400', () => {
    it('for a cursor of another key, a code that no list has, and a limit beyond 100', async () => {
      const [one, other] = [await addKey(), await addKey()];
      await verify(one.secret);
      const { newest } = (await refusals(one.id)).body.meta;
      const queries = [{ cursor: newest }, { after: newest }, { after: 'x' }, { code: 'VALID' }, { limit: '101' }];
      for (const query of queries) {
        const { status, body } = await refusals(other.id, query as never);
        expect([status, body.code, body.errors[0].path]).toEqual([400, 'VALIDATION_FAILED', Object.keys(query)[0]]);
      }
    });
  });

  describe('404', () => {
    it('for keys of others and for keys that do not exist, in the same words', async () => {
      const key = await issueKey(app, admin);
      const answers = await Promise.all([key.id, NO_KEY].map((id) => refusals(id, {}, ada.token)));
      expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
        [404, 'API_KEY_NOT_FOUND'],
        [404, 'API_KEY_NOT_FOUND'],
      ]);
    });
  });

  it('strings that prove no key leave nothing', async () => {
    const key = await addKey();
    const drawn = mint({ prefix: 'lk', environment: 'live', tagKeys: app.config.tagKeys, randomBytes }).secret.reveal();
    const forged = `${key.secret.slice(0, 30)}${drawn.slice(30)}`;
    await written(app);
    const rows = async () => Number((await app.dataSource.query('SELECT count(*) FROM refused_call'))[0].count);
    const before = await rows();
    for (const made of [drawn, forged, 'lk_live_nothing', 'x'])
      expect((await verify(made)).body.code).toMatch(/NOT_FOUND|MALFORMED/);
    await written(app);
    expect(await rows()).toBe(before);
  });

  it('is written in no more than a statement a second, however many are refused', async () => {
    const keys: Awaited<ReturnType<typeof addKey>>[] = [];
    while (keys.length < 20) keys.push(await addKey());
    await Promise.all(keys.map(({ secret }) => verify(secret)));
    await written(app);
    const spy = jest.spyOn(pg.Client.prototype, 'query');
    const statements = () =>
      spy.mock.calls.filter(([query]) => (query as unknown as { name?: string }).name === 'note-refused-calls').length;
    const beganMs = performance.now();
    const items = Array.from({ length: 100 }, (_, index) => ({ key: keys[index % keys.length]!.secret }));
    for (let sent = 0; sent < 10_000; sent += 1_000)
      await Promise.all(
        Array.from({ length: 10 }, () => app.post('/verify/batch', { apiKey: gateway.secret, body: { items } })),
      );
    await written(app);
    const seconds = (performance.now() - beganMs) / 1_000;
    const count = statements();
    spy.mockRestore();
    expect(count).toBeGreaterThan(0);
    // Two of them are those that the test asks for.
    expect(count).toBeLessThanOrEqual(Math.ceil(seconds) + 2);
  });
});

describe('REFUSED_CALLS', () => {
  /** One call refused in this mode, as the list has it. */
  const refusedOnce = async (mode: string) => {
    const app = await TestApp.start({ ...SETTINGS, REFUSED_CALLS: mode });
    try {
      const admin = await app.adminToken();
      const key = await issueKey(app, admin, { allowedIps: ['10.0.0.0/8'] });
      const body = { key: key.secret, ip: '203.0.113.7', model: 'gpt-4o', scopes: ['chat:write'] };
      await app.post('/verify', { token: admin, body });
      await written(app);
      const answer = (await app.get(`/api-keys/${key.id}/refusals`, { token: admin })).body;
      const rows = await app.dataSource.query('SELECT * FROM refused_call');
      return { answer, rows };
    } finally {
      await app.stop();
    }
  };

  it('masked keeps the network of the address, and no text of the caller', async () => {
    const { answer, rows } = await refusedOnce('masked');
    expect(answer.data).toEqual([expect.objectContaining({ ip: '203.0.113.0/24', model: null, scopes: [] })]);
    expect(answer.meta.recording).toBe('masked');
    expect(JSON.stringify(rows)).not.toMatch(/203\.0\.113\.7|gpt-4o|chat:write/);
  });

  it('off keeps nothing, and says so', async () => {
    const { answer, rows } = await refusedOnce('off');
    expect([answer.data, answer.meta.recording, answer.meta.newest, rows]).toEqual([[], 'off', null, []]);
  });
});

describe('refused calls and their database', () => {
  it('are written when the server stops', async () => {
    const database = await createTestDatabase();
    const app = await TestApp.start(SETTINGS, database);
    const admin = await app.adminToken();
    const key = await issueKey(app, admin, { allowedIps: ['10.0.0.0/8'] });
    const calls = Array.from({ length: 10 }, () => app.post('/verify', { token: admin, body: { key: key.secret } }));
    await Promise.all(calls);
    await app.stop();
    const pool = await dataSource(database.appUrl, { max: 1 }).initialize();
    const [row] = await pool.query<{ rows: number }[]>('SELECT count(*)::int AS rows FROM refused_call');
    await pool.destroy();
    await database.drop();
    expect(row!.rows).toBe(10);
  });

  it('are lost and counted while it does not take them, and no verdict waits for it', async () => {
    const app = await TestApp.start(SETTINGS);
    const owner = await dataSource(app.database.ownerUrl, { max: 1 }).initialize();
    try {
      const admin = await app.adminToken();
      const service = await issueServiceKey(app, admin);
      const key = await issueKey(app, admin, { allowedIps: ['10.0.0.0/8'] });
      const verify = () => app.post('/verify', { apiKey: service.secret, body: { key: key.secret } });
      await verify();
      await written(app);
      const calls = app.app.get(RefusedCalls, { strict: false });
      const transaction = owner.createQueryRunner();
      await transaction.startTransaction();
      await transaction.query('SELECT FROM refused_call_total FOR UPDATE');
      for (let index = 0; index < 5; index += 1) expect((await verify()).body.code).toBe('IP_NOT_ALLOWED');
      // The write gives up after a second; the verdicts were there before it did.
      await written(app);
      expect(calls.lost('database')).toBe(5);
      const { body: health } = await app.get('//health');
      expect([health.code, health.details.refusedCalls.status]).toEqual(['DEGRADED', 'degraded']);
      await transaction.rollbackTransaction();
      await transaction.release();
      await verify();
      await written(app);
      const { data, meta } = (await app.get(`/api-keys/${key.id}/refusals`, { token: admin })).body;
      expect([data.length, meta.kept, calls.lost('database')]).toEqual([2, 2, 5]);
      expect((await app.get('//health')).body.details.refusedCalls.status).toBe('up');
    } finally {
      await owner.destroy();
      await app.stop();
    }
  });
});
