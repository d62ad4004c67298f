import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { canonicalJson } from '../../../src/common/canonical-json.js';
import { dataSource } from '../../../src/database/data-source.js';
import { TestApp } from '../../support/app.js';
import { trailRowsOnce } from '../../support/trail.js';

const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(
      (line) =>
        JSON.parse(line) as {
          seq: string;
          at: string;
          hash: string;
          resourceType: string;
          chain?: string;
          personal?: object;
        },
    );
const ofChanges = (text: string) => linesOf(text).filter(({ chain }) => chain === undefined);

describe('GET /audit-events/export', () => {
  let app: TestApp;
  let auditor: string;

  beforeAll(async () => {
    app = await TestApp.start();
    const admin = await app.adminToken();
    for (let n = 0; n < 5; n += 1)
      await app.post('/api-keys', { token: admin, body: { metadata: { 'cost centre': 'ünïcode 😀', n: String(n) } } });
    auditor = (await app.addUser(['auditor'])).token;
  });
  afterAll(() => app.stop());

  describe('200', () => {
    it('gives one event a line, oldest first', async () => {
      const { status, headers, body } = await app.get('/audit-events/export', { token: auditor });
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
      expect(headers.get('content-disposition')).toBe('attachment; filename="audit-events.ndjson"');
      const seqs = ofChanges(body).map(({ seq }) => Number(seq));
      expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, index) => index + 1));
      expect(seqs.length).toBeGreaterThanOrEqual(7);
    });

    it('gives events from which a holder of the key can calculate the chain again', async () => {
      await trailRowsOnce(app, 1, `action = 'audit:export'`);
      const lines = linesOf((await app.get('/audit-events/export', { token: auditor })).body);
      for (const chain of [undefined, 'reads']) {
        const events = lines.filter((event) => event.chain === chain);
        expect(events.length).toBeGreaterThan(0);
        let previous = Buffer.alloc(32);
        for (const { hash, personal: _opens, ...event } of events) {
          previous = createHmac('sha256', app.config.auditKeys[0]!.key)
            .update(previous)
            .update(canonicalJson(event))
            .digest();
          expect(hash).toBe(previous.toString('hex'));
        }
      }
    });

    it('merges changes and reads by their instants', async () => {
      await trailRowsOnce(app, 1, `action = 'audit:export'`);
      await app.post('/api-keys', { token: await app.adminToken() });
      const lines = linesOf((await app.get('/audit-events/export', { token: auditor })).body);
      expect(lines.map(({ at }) => at)).toEqual(lines.map(({ at }) => at).sort());
      const kinds = lines.map(({ chain }) => chain ?? 'changes').join(' ');
      expect(kinds).toMatch(/changes reads.* changes/);
    });

    it('narrows like the list', async () => {
      const { body } = await app.get('/audit-events/export?resourceType=api-key', { token: auditor });
      const lines = linesOf(body);
      expect(lines).toHaveLength(6);
      expect(lines.every(({ resourceType }) => resourceType === 'api-key')).toBe(true);
    });

    it('is empty where nothing fits', async () => {
      const { status, body } = await app.get('/audit-events/export?to=2020-01-01T00:00:00Z', { token: auditor });
      expect([status, body]).toEqual([200, '']);
    });

    it('streams more than one batch without holes', async () => {
      // The application may not move the head by itself.
      const owner = await dataSource(app.database.ownerUrl, { max: 1 }).initialize();
      await owner.query(
        `WITH head AS (UPDATE change_head SET seq = seq + 2500 RETURNING seq - 2500 AS seq)
         INSERT INTO audit_event SELECT head.seq + n, gen_random_uuid(), now(), 'system', NULL, NULL, 'a:b', 'c', NULL, 'success', NULL, NULL, '[]', '{}',
           jsonb_build_object('seq', (head.seq + n)::text, 'actor', '{}'::jsonb, 'changes', '[]'::jsonb, 'details', '{}'::jsonb)::text, sha256('x')
         FROM head, generate_series(1, 2500) n`,
      );
      await owner.destroy();
      const { body } = await app.get('/audit-events/export', { token: auditor });
      const seqs = ofChanges(body).map(({ seq }) => Number(seq));
      expect(seqs.length).toBeGreaterThan(2500);
      expect(seqs.every((seq, index) => seq === index + 1)).toBe(true);
    });

    it('is itself in the trail', async () => {
      const rows = await trailRowsOnce(app, 1, `action = 'audit:export' AND outcome = 'success'`);
      expect(rows[0]!.actor_kind).toBe('user');
    });
  });

  describe('400', () => {
    it('knows neither cursor nor limit', async () => {
      const { status, body } = await app.get('/audit-events/export?cursor=MTIzNA&limit=5', { token: auditor });
      expect(status).toBe(400);
      expect(body.errors.map((error: { path: string }) => error.path).sort()).toEqual(['cursor', 'limit']);
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.get('/audit-events/export')).status).toBe(401);
    });
  });

  describe('403', () => {
    it('needs more than the permission to read', async () => {
      await app.addRole('audit-reader', ['platform:audit:read']);
      const reader = await app.addUser(['audit-reader']);
      expect((await app.get('/audit-events', { token: reader.token })).status).toBe(200);
      const { status, body } = await app.get('/audit-events/export', { token: reader.token });
      expect([status, body.permission]).toEqual([403, 'platform:audit:export']);
    });
  });
});
