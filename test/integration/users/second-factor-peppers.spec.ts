import { afterEach, describe, expect, it } from '@jest/globals';
import { resetAdmin } from '../../../src/users/admin-reset.js';
import { Changes } from '../../../src/audit/changes.js';
import { StartRefusal } from '../../../src/common/start-refusal.js';
import { acceptSecrets } from '../../../src/installation/accept-secrets.js';
import { neededNow } from '../../../src/installation/needed-versions.js';
import { SecondFactorResealing } from '../../../src/users/second-factor/second-factor-resealing.js';
import { eventually } from '../../support/eventually.js';
import { ADMIN, TestApp, testConfig } from '../../support/app.js';
import { afterAWhile, codeOf, setUpFactor, wrongCode } from '../../support/second-factor.js';

const OLD = '1:pepper-0123456789abcdefghijklmnopqrstuvwxyz-01';
const NEW = '2:another-pepper-9876543210zyxwvutsrqponmlkjihgfe';

describe('second factors beside a change of API_KEY_PEPPERS', () => {
  const apps: TestApp[] = [];
  const start = async (peppers: string) => {
    const app = await TestApp.start({ API_KEY_PEPPERS: peppers }, apps[0]?.database);
    apps.push(app);
    return app;
  };
  afterEach(async () => {
    for (const app of apps.splice(0).reverse()) await app.stop();
  });

  const versions = async () =>
    (
      await apps[0]!.dataSource.query<{ pepper_version: string }[]>(
        'SELECT pepper_version FROM second_factor ORDER BY 1',
      )
    ).map(({ pepper_version }) => pepper_version);
  const needs = async (peppers: string) =>
    (await neededNow(testConfig({ API_KEY_PEPPERS: peppers }), apps[0]!.dataSource.manager))
      .filter(({ variable }) => variable === 'API_KEY_PEPPERS')
      .map(({ version, by }) => `${version}: ${by}`);
  const login = (app: TestApp, email: string, code: string) =>
    app.post('/auth/login', { body: { email, password: ADMIN.password, code } });

  it('are sealed under the new one by a start, and their codes and recovery codes work on', async () => {
    const before = await start(OLD);
    await acceptSecrets(before.dataSource, before.config);
    // More than the background takes at a time.
    const { id, email, token } = await before.addUser([]);
    const factor = await setUpFactor(before, token, ADMIN.password);
    await before.dataSource.query(
      `WITH people AS (INSERT INTO users (id, name, kind) SELECT gen_random_uuid(), 'x', 'person' FROM generate_series(1, 250) RETURNING id)
       INSERT INTO second_factor (user_id, id, sealed_secret, pepper_version) SELECT id, id, '\\x00', '1' FROM people`,
    );
    expect(await needs(OLD)).toEqual(['1: 2 passwords and 251 second factors']);
    await expect(acceptSecrets(before.dataSource, testConfig({ API_KEY_PEPPERS: NEW }))).rejects.toThrow(
      'API_KEY_PEPPERS has no version 1, which is needed by 2 passwords and 251 second factors',
    );
    await expect(acceptSecrets(before.dataSource, testConfig({ API_KEY_PEPPERS: NEW }))).rejects.toThrow(StartRefusal);
    // Those that do not open stay, and stop nobody else's.
    const after = await start(`${NEW},${OLD}`);
    await eventually(
      async () => expect((await versions()).filter((version) => version === '2')).toHaveLength(1),
      20_000,
    );
    await before.dataSource.query(`DELETE FROM second_factor WHERE user_id <> $1`, [id]);
    // Passwords are bound anew in the background, too.
    await eventually(
      async () => expect(await needs(`${NEW},${OLD}`)).toEqual(['2: 2 passwords and 1 second factor']),
      20_000,
    );
    await afterAWhile(after, id);
    expect((await login(after, email, await codeOf(after, factor.secret))).status).toBe(200);
    expect((await login(after, email, factor.recoveryCodes[0]!)).status).toBe(200);
    const alone = await start(NEW);
    expect((await login(alone, email, factor.recoveryCodes[1]!)).status).toBe(200);
  });

  it('are sealed under the new one when they are used next', async () => {
    const before = await start(OLD);
    const after = await start(`${NEW},${OLD}`);
    await after.app.get(SecondFactorResealing, { strict: false }).onModuleDestroy();
    const { id, email, token } = await before.addUser([]);
    const factor = await setUpFactor(before, token, ADMIN.password);
    expect(await versions()).toEqual(['1']);
    await afterAWhile(after, id);
    expect((await login(after, email, await wrongCode(after, factor.secret))).status).toBe(401);
    expect(await versions()).toEqual(['2']);
    expect((await login(after, email, await codeOf(after, factor.secret))).status).toBe(200);
  });

  it('are not decided about by a replica that lacks the pepper', async () => {
    const before = await start(OLD);
    const { email, token } = await before.addUser([]);
    const factor = await setUpFactor(before, token, ADMIN.password);
    const other = await start(NEW);
    expect(await login(other, email, factor.recoveryCodes[0]!)).toMatchObject({
      status: 503,
      body: { code: 'UNAVAILABLE' },
    });
    expect((await login(before, email, factor.recoveryCodes[0]!)).status).toBe(200);
  });

  it('are removed by admin:reset, which the trail tells', async () => {
    const app = await start(OLD);
    await setUpFactor(app, await app.adminToken(), ADMIN.password);
    const { password } = await resetAdmin(new Changes(app.dataSource, app.config), ADMIN.email, app.config);
    expect((await app.post('/auth/login', { body: { email: ADMIN.email, password } })).status).toBe(200);
    const rows = await app.dataSource.query<{ actor_kind: string }[]>(
      `SELECT actor_kind FROM audit_event WHERE action = 'second-factors:delete'`,
    );
    expect(rows).toEqual([{ actor_kind: 'system' }]);
  });
});
