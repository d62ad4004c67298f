import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Metrics } from '../../../src/common/metrics.js';
import { TestApp, type TestUser } from '../../support/app.js';
import { trailRows, trailRowsOnce } from '../../support/trail.js';

const UNKNOWN = '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55';

describe('The trail', () => {
  let app: TestApp;
  let admin: string;
  let user: TestUser;
  let keyId: string;

  beforeAll(async () => {
    app = await TestApp.start({ MAX_ACTIVE_KEYS: '1000' });
    admin = await app.adminToken();
    user = await app.addUser(['user']);
    keyId = (await app.post('/api-keys', { token: admin })).body.apiKey.id;
  });
  afterAll(() => app.stop());

  const rowsOf = (requestId: string | null) => trailRows(app, 'request_id = $1', [requestId]);

  it('has a read by the id in its path', async () => {
    const { headers } = await app.get(`/api-keys/${keyId.toUpperCase()}`, { token: admin });
    const [row] = await trailRowsOnce(app, 1, 'request_id = $1', [headers.get('x-request-id')]);
    expect(row).toMatchObject({
      action: 'api-keys:read',
      resource_type: 'api-key',
      resource_id: keyId,
      outcome: 'success',
      changes: [],
    });
  });

  it('has exactly one entry of a change, and none of it as a read', async () => {
    const { headers } = await app.post('/api-keys', { token: admin });
    await sleep(100);
    expect(await rowsOf(headers.get('x-request-id'))).toHaveLength(1);
  });

  it('has a 404 of a thing before it is answered, with the id that was tried', async () => {
    const { status, headers } = await app.get(`/api-keys/${keyId}`, { token: user.token });
    expect(status).toBe(404);
    expect(await rowsOf(headers.get('x-request-id'))).toEqual([
      expect.objectContaining({
        action: 'api-keys:read',
        resource_id: keyId,
        outcome: 'refused',
        actor_id: user.id,
        details: { code: 'API_KEY_NOT_FOUND' },
      }),
    ]);
  });

  it('has a 403 of a route that names no act, called after its permission', async () => {
    const { status, headers } = await app.post('/verify', { token: user.token, body: { key: 'x' } });
    expect(status).toBe(403);
    expect(await rowsOf(headers.get('x-request-id'))).toEqual([
      expect.objectContaining({
        action: 'api-keys:verify',
        resource_type: 'route',
        details: { code: 'PERMISSION_DENIED', permission: 'platform:api-keys:verify', route: 'POST /api/v1/verify' },
      }),
    ]);
  });

  it('has no verify, no bad request, no unknown route and no 401', async () => {
    const answers = [
      await app.post('/verify', { token: admin, body: { key: 'x' } }),
      await app.get('/api-keys/5', { token: admin }),
      await app.get('/nothing-here', { token: admin }),
      await app.get(`/api-keys/${keyId}`, { token: 'x' }),
      await app.post('/auth/login', { body: { email: user.email, password: 'wrong password' } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 400, 404, 401, 401]);
    await sleep(100);
    for (const { headers } of answers) expect(await rowsOf(headers.get('x-request-id'))).toEqual([]);
  });

  it('leaves 401s to a metric', async () => {
    const counted = async () => {
      const text = await app.app.get(Metrics, { strict: false }).registry.metrics();
      return Number(/latchkey_refusals_total\{kind="unauthenticated"\} (\d+)/.exec(text)?.[1] ?? 0);
    };
    const before = await counted();
    await Promise.all(Array.from({ length: 5 }, () => app.get('/audit-events')));
    expect(await counted()).toBe(before + 5);
  });

  it('lets changes through a flood of reads and refusals, which takes the head at most every 20 ms', async () => {
    const startMs = performance.now();
    const [start] = await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head');
    let flooding = true;
    const flood = Array.from({ length: 10 }, async (_, n) => {
      while (flooding)
        await app.get(`/api-keys/${n % 2 === 0 ? keyId : UNKNOWN}`, { token: n % 2 === 0 ? admin : user.token });
    });
    const statuses: number[] = [];
    for (let n = 0; n < 10; n += 1) statuses.push((await app.post('/api-keys', { token: admin })).status);
    flooding = false;
    await Promise.all(flood);
    expect(new Set(statuses)).toEqual(new Set([201]));

    // Rows of one commit share their instant. Reads are none of them.
    const [taken] = await app.dataSource.query<{ refusals: number; commits: number; reads: number }[]>(
      `SELECT count(*)::int AS refusals, count(DISTINCT at)::int AS commits, (count(*) FILTER (WHERE outcome = 'success'))::int AS reads
         FROM audit_event WHERE seq > $1 AND action = 'api-keys:read'`,
      [start!.seq],
    );
    expect(taken!.refusals).toBeGreaterThan(0);
    expect(taken!.reads).toBe(0);
    expect(taken!.commits).toBeLessThanOrEqual((performance.now() - startMs) / 20 + 1);
  });
});
