import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';

const PATIENCE_MS = 20_000;

describe('Guessing, over two replicas', () => {
  let app: TestApp;
  let other: TestApp;
  let addresses = 0;
  const from = () => ({ 'x-forwarded-for': `203.0.113.${(addresses += 1)}` });
  const login = (replica: TestApp, email: string, password: string) =>
    replica.post('/auth/login', { body: { email, password }, headers: from() });
  /** As the database's owner. */
  const asOwner = async (sql: string) => {
    const client = new Client({ connectionString: app.database.ownerUrl });
    await client.connect();
    await client.query(sql);
    await client.end();
  };

  beforeAll(async () => {
    const variables = { TRUSTED_PROXIES: '127.0.0.1/32', PUBLIC_URL: 'http://127.0.0.1' };
    app = await TestApp.start(variables);
    other = await TestApp.start(variables, app.database);
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });

  it('is refused by one for what the other has counted, and the owner’s browser is known to both', async () => {
    const user = await app.addUser([]);
    const signedIn = await login(app, user.email, user.password);
    const cookie = signedIn.headers
      .getSetCookie()
      .map((line) => line.split(';')[0]!)
      .join('; ');
    for (let attempt = 0; attempt < 20; attempt += 1) expect((await login(app, user.email, 'guess')).status).toBe(401);
    // The other one learns of it when it is told; until then its own tries are right, and count nothing.
    await eventually(async () => expect((await login(other, user.email, user.password)).status).toBe(429), PATIENCE_MS);
    expect((await login(other, user.email, 'guess')).status).toBe(429);
    const known = await other.post('/auth/login', {
      body: { email: user.email, password: user.password },
      headers: { ...from(), cookie },
    });
    expect(known.status).toBe(200);
    expect(known.body.notices.failedSignIns.count).toBeGreaterThanOrEqual(20);
  });

  it('is bounded for an account over all browsers that it knows, however many cookies were collected', async () => {
    const user = await app.addUser([]);
    const cookies: string[] = [];
    for (let browser = 0; browser < 6; browser += 1) {
      const { headers } = await login(app, user.email, user.password);
      cookies.push(
        headers
          .getSetCookie()
          .map((line) => line.split(';')[0]!)
          .join('; '),
      );
    }
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const tries = cookies.map((cookie) =>
        app.post('/auth/login', { body: { email: user.email, password: 'guess' }, headers: { ...from(), cookie } }),
      );
      statuses.push(...(await Promise.all(tries)).map(({ status }) => status));
    }
    // 60 in all known browsers, and 20 as any other.
    const looked = statuses.filter((status) => status === 401).length;
    expect([looked > 20, looked <= 80, new Set(statuses)]).toEqual([true, true, new Set([401, 429])]);
    expect(statuses.slice(-cookies.length)).toEqual(cookies.map(() => 429));
  }, 120_000);

  it('loses no failure of many at the same time, and writes no row of the trail for each', async () => {
    const users = await Promise.all(Array.from({ length: 8 }, () => app.addUser([])));
    const startedMs = performance.now();
    await Promise.all(users.flatMap(({ email }) => Array.from({ length: 15 }, () => login(app, email, 'guess'))));
    const failures = async () =>
      app.dataSource.query<{ failures: string }[]>('SELECT failures FROM sign_in_failure WHERE user_id = ANY($1)', [
        users.map(({ id }) => id),
      ]);
    await eventually(
      async () => expect((await failures()).map((row) => Number(row.failures))).toEqual(Array(8).fill(15)),
      PATIENCE_MS,
    );
    const seconds = (performance.now() - startedMs) / 1000;
    // Of 120 failures: counted rows, and those of minutes that have ended.
    const { rows } = (
      await app.dataSource.query<{ rows: string }[]>(
        `SELECT count(*) AS rows FROM audit_event WHERE action = 'auth:login' AND outcome = 'refused'`,
      )
    )[0]!;
    expect(Number(rows)).toBeLessThanOrEqual(21 * Math.ceil(seconds / 60 + 1));
  });

  it('is limited by each replica alone while failures cannot be written; that is told, and nothing is lost', async () => {
    const user = await app.addUser([]);
    const signIns = async () => (await app.get('//health')).body.details.signIns;
    expect(await signIns()).toEqual({ status: 'up' });
    await asOwner('REVOKE INSERT ON sign_in_count FROM latchkey_app');
    for (let attempt = 0; attempt < 20; attempt += 1) await login(app, user.email, 'guess');
    expect((await login(app, user.email, 'guess')).status).toBe(429);
    await eventually(
      async () =>
        expect(await signIns()).toEqual({
          status: 'degraded',
          reason: expect.stringContaining('each replica limits guessing by what it has seen itself'),
        }),
      PATIENCE_MS,
    );
    expect((await login(other, user.email, user.password)).status).toBe(200);
    await asOwner('GRANT INSERT ON sign_in_count TO latchkey_app');
    await eventually(async () => expect(await signIns()).toEqual({ status: 'up' }), PATIENCE_MS);
    await eventually(async () => expect((await login(other, user.email, user.password)).status).toBe(429), PATIENCE_MS);
  });
});
