import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TcpProxy } from '../../proofs/harness/tcp-proxy.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { type IssuedKey, issueKey, issueServiceKey } from '../../support/management.js';
import { type TestDatabase, createTestDatabase } from '../../support/postgres.js';
import { askAs, portOf } from './gateway.js';

describe('the doors while PostgreSQL is away', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: TestApp;
  let gateway: IssuedKey;
  let warm: IssuedKey;
  let cold: IssuedKey;

  const ask = (target: string, { secret }: IssuedKey) =>
    askAs(portOf(app), 'GET', `/api/v1/${target}`, [
      ['X-Latchkey-Gateway-Key', gateway.secret],
      ['Authorization', `Bearer ${secret}`],
    ]);
  const introspect = ({ secret }: IssuedKey) =>
    app.post('/introspect', {
      apiKey: gateway.secret,
      rawBody: `token=${secret}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });

  beforeAll(async () => {
    database = await createTestDatabase();
    const url = new URL(database.appUrl);
    proxy = await TcpProxy.start(Number(url.port));
    url.port = String(proxy.port);
    app = await TestApp.start({}, { ...database, appUrl: url.href });
    const admin = await app.adminToken();
    gateway = await issueServiceKey(app, admin);
    [warm, cold] = [await issueKey(app, admin), await issueKey(app, admin)];
    expect((await ask('forward-auth', warm)).status).toBe(200);
    expect((await introspect(warm)).body.active).toBe(true);
    proxy.setMode('refuse');
    proxy.reset();
  });
  afterAll(async () => {
    proxy.setMode('pass');
    proxy.reset();
    await app.stop();
    await proxy.stop();
    await database.drop();
  });

  it('answer from memory what memory knows', async () => {
    expect((await ask('forward-auth', warm)).headers['x-latchkey-key-id']).toBe(warm.id);
    expect((await introspect(warm)).body).toMatchObject({ active: true, key_id: warm.id });
  });

  it.each(['forward-auth', 'forward-auth?mode=nginx', 'ext-authz/v1/chat'])(
    'let nobody through whom nobody can judge, as 503: %s',
    async (target) => {
      const { status, headers, problem } = await ask(target, cold);
      expect([status, headers['x-latchkey-code'], headers['retry-after'], problem.code]).toEqual([
        503,
        'UNAVAILABLE',
        '1',
        'UNAVAILABLE',
      ]);
      expect(headers['x-latchkey-key-id']).toBeUndefined();
    },
  );

  it('say of a token that they cannot tell, and not that it is inactive', async () => {
    const { status, body } = await introspect(cold);
    expect([status, body.code]).toEqual([503, 'UNAVAILABLE']);
  });

  it('are themselves again when it is back', async () => {
    proxy.setMode('pass');
    proxy.reset();
    await eventually(async () => expect((await ask('forward-auth', cold)).status).toBe(200));
    expect((await introspect(cold)).body.active).toBe(true);
  });
});
