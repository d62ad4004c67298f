import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { SecretWatch } from '../../../src/installation/secret-watch.js';
import { acceptSecrets } from '../../../src/installation/accept-secrets.js';
import { TestApp } from '../../support/app.js';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.js';

const VARIABLES = ['JWT_SECRET', 'API_KEY_PEPPERS', 'TAG_KEYS', 'RESERVATION_KEY'] as const;
type Secrets = Record<(typeof VARIABLES)[number], string>;
const METRICS_TOKEN = 'metrics-0123456789-abcdefghijklmnopqrstuvwxyz';

const drawn = (version: string) =>
  Object.fromEntries(VARIABLES.map((name) => [name, `${version}:${randomBytes(32).toString('base64url')}`])) as Secrets;
const both = (first: Secrets, second: Secrets) =>
  Object.fromEntries(VARIABLES.map((name) => [name, `${first[name]},${second[name]}`])) as Secrets;

/** Three replicas as they are in the middle of a change, and one that was forgotten. */
describe('Versions of secrets', () => {
  const [old, fresh] = [drawn('1'), drawn('2')];
  let database: TestDatabase;
  let before: TestApp;
  let after: TestApp;
  let forgotten: TestApp;
  let token: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    forgotten = await TestApp.start({ ...old, METRICS_TOKEN }, database);
    await acceptSecrets(forgotten.dataSource, forgotten.config);
    before = await TestApp.start(both(old, fresh), database);
    after = await TestApp.start(both(fresh, old), database);
    token = await before.adminToken();
  });
  afterAll(async () => {
    for (const app of [before, after, forgotten]) await app.stop();
    await database.drop();
  });

  const createOn = async (app: TestApp) => {
    const { body } = await app.post('/api-keys', { token, body: { budgetLimitCents: 100 } });
    return { secret: body.secretKey as string, id: body.apiKey.id as string };
  };

  // Passport has one strategy a process, that of the app made last: G44 asks real processes.
  it('sessions that either signed work', async () => {
    const newToken = await after.adminToken();
    for (const app of [before, after]) {
      for (const one of [token, newToken]) expect((await app.get('/auth/me', { token: one })).status).toBe(200);
    }
  });

  it('keys that either made verify on both, and name the versions they need', async () => {
    for (const maker of [before, after]) {
      const { secret, id } = await createOn(maker);
      for (const app of [before, after])
        expect((await app.post('/verify', { token, body: { key: secret } })).body.code).toBe('VALID');
      const [row] = await maker.dataSource.query(
        'SELECT pepper_version, tag_version FROM api_key_secret WHERE key_id = $1',
        [id],
      );
      expect(row).toEqual(
        maker === before ? { pepper_version: '1', tag_version: '1' } : { pepper_version: '2', tag_version: '2' },
      );
    }
  });

  it('reservations that either gave are settled by both', async () => {
    for (const giver of [before, after]) {
      const { secret } = await createOn(giver);
      for (const settler of [before, after]) {
        const { body } = await giver.post('/verify', { token, body: { key: secret, reserveCents: 1 } });
        const events = [{ id: randomBytes(6).toString('hex'), reservationId: body.reservation.id, costCents: 1 }];
        expect((await settler.post('/usage', { token, body: { events } })).status).toBe(200);
      }
    }
  });

  describe('503', () => {
    it('is what a replica without the pepper says of a key, not that there is none', async () => {
      const { secret, id } = await createOn(before);
      await before.dataSource.query(`UPDATE api_key_secret SET pepper_version = '2' WHERE key_id = $1`, [id]);
      for (let time = 0; time < 2; time += 1) {
        const { status, body } = await forgotten.post('/verify', { token, body: { key: secret } });
        expect([status, body.code]).toEqual([503, 'UNAVAILABLE']);
        expect(JSON.stringify(body)).not.toMatch(/PEPPER|version 2/);
      }
      const batch = await forgotten.post('/verify/batch', { token, body: { items: [{ key: secret }] } });
      expect([batch.status, batch.body.results?.[0]?.code ?? batch.body.data?.[0]?.code]).toEqual([200, 'UNAVAILABLE']);
    });

    it('is what a replica without the key says of a reservation', async () => {
      const { secret } = await createOn(before);
      const { body } = await after.post('/verify', { token, body: { key: secret, reserveCents: 1 } });
      const events = [{ id: 'forgotten', reservationId: body.reservation.id, costCents: 1 }];
      expect((await forgotten.post('/usage', { token, body: { events } })).status).toBe(503);
      expect(
        (await forgotten.post('/reservations/release', { token, body: { reservationId: body.reservation.id } })).status,
      ).toBe(503);
      expect((await before.post('/usage', { token, body: { events } })).status).toBe(200);
    });

    it('is counted by variable', async () => {
      const { body } = await forgotten.get('//metrics', { token: METRICS_TOKEN });
      expect(body).toMatch(/^latchkey_missing_secret_versions_total\{variable="API_KEY_PEPPERS"\} [1-9]/m);
      expect(body).toMatch(/^latchkey_missing_secret_versions_total\{variable="RESERVATION_KEY"\} [1-9]/m);
    });
  });

  it('that another replica has brought are noticed by one that lacks them', async () => {
    const watch = forgotten.app.get(SecretWatch);
    await watch.look();
    const lacking = async () =>
      /^latchkey_lacking_secret_versions (\d+)/m.exec(
        (await forgotten.get('//metrics', { token: METRICS_TOKEN })).body as string,
      )?.[1];
    expect(await lacking()).toBe('0');
    await acceptSecrets(before.dataSource, before.config);
    await watch.look();
    expect(await lacking()).toBe('4');
    await watch.look();
    expect(await lacking()).toBe('4');
  });
});
