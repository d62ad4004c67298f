import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { conditionsOf } from '../../../src/audit/audit-events.repository.js';
import { TestApp } from '../../support/app.js';
import { trailRowsOnce } from '../../support/trail.js';

describe('GET /audit-events', () => {
  let app: TestApp;
  let admin: string;
  let keyIds: string[];

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    const created = [];
    for (let n = 0; n < 5; n += 1)
      created.push(await app.post('/api-keys', { token: admin, body: { name: `Key ${n}` } }));
    keyIds = created.map(({ body }) => body.apiKey.id as string);
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('shows who did what, to what, from where, with every field before and after', async () => {
      const me = await app.get('/auth/me', { token: admin });
      const { status, body } = await app.get(`/audit-events?action=api-keys:create&resourceId=${keyIds[0]}`, {
        token: admin,
      });
      expect(status).toBe(200);
      expect(body.data).toEqual([
        {
          id: expect.stringMatching(/^[0-9a-f-]{36}$/),
          seq: expect.stringMatching(/^\d+$/),
          at: expect.stringMatching(/^\d{4}-.*Z$/),
          actor: { kind: 'user', id: me.body.user.id, ownerId: me.body.user.id },
          action: 'api-keys:create',
          resourceType: 'api-key',
          resourceId: keyIds[0],
          outcome: 'success',
          ip: '127.0.0.1',
          requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
          changes: expect.arrayContaining([{ field: 'name', before: null, after: 'Key 0' }]),
          details: { kid: expect.any(String) },
          hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        },
      ]);
      expect(body.meta).toEqual({ limit: 50, nextCursor: null, sealedUpTo: null });
    });

    it('gives newest first, page by page, without repeating or missing one while others are added', async () => {
      const seen: string[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < 3; page += 1) {
        const next: string = cursor === null ? '' : `&cursor=${cursor}`;
        const { body } = await app.get(`/audit-events?action=api-keys:create&limit=2${next}`, { token: admin });
        seen.push(...body.data.map((event: { resourceId: string }) => event.resourceId));
        cursor = body.meta.nextCursor;
        if (page === 0) await app.post('/api-keys', { token: admin });
      }
      expect(cursor).toBeNull();
      expect(seen).toEqual([...keyIds].reverse());
    });

    it.each([
      ['resourceType=user', ({ resourceType }: { resourceType: string }) => resourceType === 'user'],
      ['outcome=success', ({ outcome }: { outcome: string }) => outcome === 'success'],
      ['action=auth:login', ({ action }: { action: string }) => action === 'auth:login'],
      ['from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z', () => true],
    ])('narrows by %s', async (query, fits) => {
      const { body } = await app.get(`/audit-events?${query}`, { token: admin });
      expect(body.data.length).toBeGreaterThan(0);
      expect(body.data.every(fits)).toBe(true);
    });

    it('narrows by actor and by time', async () => {
      const user = await app.addUser(['creator']);
      await app.post('/api-keys', { token: user.token });
      const { body } = await app.get(`/audit-events?actorId=${user.id}`, { token: admin });
      expect(body.data.map((event: { action: string }) => event.action)).toEqual(['api-keys:create']);
      expect((await app.get('/audit-events?to=2020-01-01T00:00:00Z', { token: admin })).body.data).toEqual([]);
      expect((await app.get('/audit-events?from=2999-01-01T00:00:00Z', { token: admin })).body.data).toEqual([]);
    });

    it('leaves reads out, or shows them alone; a read that was refused is none', async () => {
      const [auditor, stranger] = [await app.addUser(['auditor']), await app.addUser([])];
      const of = async (id: string, isRead: boolean) => {
        const { body } = await app.get(`/audit-events?actorId=${id}&isRead=${isRead}`, { token: admin });
        return body.data.map(({ action, outcome }: { action: string; outcome: string }) => `${action} ${outcome}`);
      };
      await app.get(`/api-keys/${keyIds[0]}`, { token: auditor.token });
      await app.post(`/api-keys/${keyIds[0]}/explain`, { token: auditor.token, body: {} });
      await app.post('/auth/logout', { token: auditor.token });
      await app.get('/audit-events', { token: stranger.token });
      await trailRowsOnce(app, 2, `actor_id = $1 AND action ~ 'api-keys'`, [auditor.id]);
      expect((await of(auditor.id, true)).sort()).toEqual(['api-keys:explain success', 'api-keys:read success']);
      expect(await of(auditor.id, false)).toEqual(['auth:logout success']);
      expect([await of(stranger.id, true), await of(stranger.id, false)]).toEqual([[], ['audit:read refused']]);
    });

    it('finds changes among reads by an index', async () => {
      await app.dataSource.query('ANALYZE audit_event');
      const plan = await app.dataSource.transaction(async (tx) => {
        await tx.query('SET LOCAL enable_seqscan = off');
        const { where } = conditionsOf({ isRead: false });
        return tx.query(
          `EXPLAIN SELECT body, hash FROM audit_event WHERE seq < 9223372036854775807 ${where} ORDER BY seq DESC LIMIT 50`,
        );
      });
      expect(JSON.stringify(plan)).toContain('audit_event_not_read_idx');
    });

    it('is itself in the trail', async () => {
      const auditor = await app.addUser(['auditor']);
      const { headers } = await app.get('/audit-events', { token: auditor.token });
      const [row] = await trailRowsOnce(app, 1, 'actor_id = $1 AND action = $2', [auditor.id, 'audit:read']);
      expect(row).toMatchObject({
        outcome: 'success',
        resource_type: 'audit-event',
        resource_id: null,
        request_id: headers.get('x-request-id'),
      });
    });
  });

  describe('400', () => {
    it.each([
      ['limit=0', 'limit'],
      ['limit=201', 'limit'],
      ['limit=1.5', 'limit'],
      ['limit=5&limit=6', 'limit'],
      ['cursor=x', 'cursor'],
      ['cursor=MTIzNA&cursor=MTIzNA', 'cursor'],
      ['outcome=maybe', 'outcome'],
      ['isRead=no', 'isRead'],
      ['isRead=true&isRead=false', 'isRead'],
      ['from=yesterday', 'from'],
      ['to=2026-02-30T00:00:00Z', 'to'],
      ['actorId=%00', 'url'],
      ['action=a&action=b', 'action'],
      ['resourceId=%F0%9F%98%80', 'resourceId'],
      ['unknown=1', 'unknown'],
    ])('names the field that is wrong in %s', async (query, path) => {
      const { status, body } = await app.get(`/audit-events?${query}`, { token: admin });
      expect(status).toBe(400);
      expect(body.errors.map((error: { path: string }) => error.path)).toContain(path);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/audit-events')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('names the missing permission, and the refusal is in the trail before it is answered', async () => {
      const user = await app.addUser(['creator']);
      const { status, body } = await app.get('/audit-events', { token: user.token });
      expect(status).toBe(403);
      expect(body.permission).toBe('platform:audit:read');
      const rows = await app.dataSource.query('SELECT * FROM audit_event WHERE request_id = $1', [body.requestId]);
      expect(rows).toEqual([
        expect.objectContaining({
          actor_id: user.id,
          action: 'audit:read',
          outcome: 'refused',
          details: { code: 'PERMISSION_DENIED', permission: 'platform:audit:read' },
        }),
      ]);
    });
  });
});
