import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { Management, issueKey } from '../../support/management.js';

describe('GET /system/replicas', () => {
  let app: TestApp;
  let admin: string;
  /** A key, because sessions of several applications in one process share passport's strategies. */
  let auditor: string;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    auditor = (await issueKey(app, admin, { roles: ['auditor'] })).secret;
  });
  afterAll(() => app.stop());

  it('403: names the permission', async () => {
    const key = await issueKey(app, admin, { roles: ['gateway'] });
    const { status, body } = await app.get('/system/replicas', { apiKey: key.secret });
    expect(status).toBe(403);
    expect(body.permission).toBe('platform:system:read');
  });

  it('200: lists every replica with what it has applied, and forgets one that stops', async () => {
    const { id } = await issueKey(app, admin);
    const other = await TestApp.start({}, app.database);
    const seq = Number(await new Management(app).revoke(id));
    await eventually(async () => {
      const { status, body } = await app.get('/system/replicas', { apiKey: auditor });
      expect(status).toBe(200);
      expect(body.headSeq).toBe(seq);
      expect(body.data).toEqual(
        [true, false].map((isThis) => ({
          id: expect.any(String),
          isThis,
          startedAt: expect.any(String),
          seenAt: expect.any(String),
          appliedSeq: seq,
          behind: 0,
          freshnessMs: expect.any(Number),
        })),
      );
      expect(Math.max(...body.data.map(({ freshnessMs }: { freshnessMs: number }) => freshnessMs))).toBeLessThan(3_000);
    });
    await other.stop();
    expect((await app.get('/system/replicas', { apiKey: auditor })).body.data).toHaveLength(1);
  });
});
