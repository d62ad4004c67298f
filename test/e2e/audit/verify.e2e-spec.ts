import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';
import { asOwner, trailRowsOnce } from '../../support/trail.js';

describe('POST /audit-events/verify', () => {
  let app: TestApp;
  let auditor: string;

  beforeAll(async () => {
    app = await TestApp.start();
    const admin = await app.adminToken();
    await app.post('/api-keys', { token: admin });
    auditor = (await app.addUser(['auditor'])).token;
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('finds the trail whole', async () => {
      const { status, body } = await app.post('/audit-events/verify', { token: auditor });
      expect(status).toBe(200);
      const [{ count }] = await app.dataSource.query('SELECT count(*)::int AS count FROM audit_event');
      expect(body).toEqual({
        ok: true,
        checked: expect.any(Number),
        checkedReads: expect.any(Number),
        sealedUpTo: null,
        firstBroken: null,
      });
      expect(body.checked).toBeGreaterThanOrEqual(3);
      expect(body.checked).toBeLessThanOrEqual(count);
    });

    it('is itself in the trail, as a read', async () => {
      await app.post('/audit-events/verify', { token: auditor });
      const [row] = await trailRowsOnce(app, 1, `action = 'audit:verify'`);
      expect(row).toMatchObject({ outcome: 'success', changes: [] });
    });

    it('stays whole while others write', async () => {
      const admin = await app.adminToken();
      const writes = Array.from({ length: 30 }, (_, n) =>
        app.post('/api-keys', { token: admin, body: { name: `Key ${n}` } }),
      );
      const reports = Array.from({ length: 10 }, () => app.post('/audit-events/verify', { token: auditor }));
      await Promise.all(writes);
      for (const { body } of await Promise.all(reports)) expect(body).toMatchObject({ ok: true, firstBroken: null });
    });

    it('says where the trail was edited', async () => {
      await asOwner(app.database, async (client) => {
        await client.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
        await client.query(`UPDATE audit_event SET actor_id = 'eve' WHERE seq = 2`);
      });
      const { body } = await app.post('/audit-events/verify', { token: auditor });
      const firstBroken = { seq: '2', reason: expect.stringContaining('actor_id'), chain: 'changes' };
      expect(body).toEqual({ ok: false, checked: 1, checkedReads: 0, sealedUpTo: null, firstBroken });
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.post('/audit-events/verify')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission', async () => {
      const user = await app.addUser(['creator']);
      const { status, body } = await app.post('/audit-events/verify', { token: user.token });
      expect([status, body.permission]).toEqual([403, 'platform:audit:export']);
    });
  });
});
