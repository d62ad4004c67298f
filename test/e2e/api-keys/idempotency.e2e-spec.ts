import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { TestApp, type TestUser } from '../../support/app.js';
import { makeKey, pathsOf, trailOf, verdictOn } from '../../support/made-keys.js';

describe('requests that are sent again', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;
  let count = 0;

  const fresh = () => `retry-${(count += 1)}`;
  const send = (method: string, path: string, token: string, key: string, body?: object) =>
    app.request(method, path, { token, headers: { 'idempotency-key': key }, ...(body && { body }) });

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(() => app.stop());

  /** The three routes that take an Idempotency-Key, each with what makes one request of it. */
  describe.each<[string, () => Promise<{ method: string; path: string; body: object; otherBody: object }>]>([
    [
      'POST /api-keys',
      async () => ({ method: 'POST', path: '/api-keys', body: { name: 'A' }, otherBody: { name: 'B' } }),
    ],
    [
      'POST /api-keys/:id/regenerate',
      async () => ({
        method: 'POST',
        path: `/api-keys/${(await makeKey(app, owner.token)).id}/regenerate`,
        body: {},
        otherBody: { overlapSeconds: 1 },
      }),
    ],
    [
      'PUT /api-keys/by-alias/:alias',
      async () => ({
        method: 'PUT',
        path: `/api-keys/by-alias/${fresh()}`,
        body: { name: 'A' },
        otherBody: { name: 'B' },
      }),
    ],
  ])('%s with an Idempotency-Key', (_, requestOf) => {
    it('gives a retry the same answer, the secret included, and does nothing twice', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const first = await send(method, path, owner.token, key, body);
      const again = await send(method, path, owner.token, key, body);
      expect(first.headers.get('idempotency-replayed')).toBeNull();
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(again.headers.get('cache-control')).toBe('no-store');
      expect(again.status).toBe(first.status);
      expect(JSON.stringify(again.body)).toBe(JSON.stringify(first.body));
      expect(await verdictOn(app, first.body.secretKey)).toBe('VALID');
      const trail = await trailOf(app, first.body.apiKey.id);
      expect(trail.at(-1)!.details).toEqual({ kid: first.body.apiKey.secrets[0].kid, isReplay: true });
    });

    it('answers ten at once with one act', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const answers = await Promise.all(Array.from({ length: 10 }, () => send(method, path, owner.token, key, body)));
      expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
      expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    });

    it('refuses another payload under the same key', async () => {
      const { method, path, body, otherBody } = await requestOf();
      const key = fresh();
      await send(method, path, owner.token, key, body);
      const { status, body: problem } = await send(method, path, owner.token, key, otherBody);
      expect(status).toBe(422);
      expect(problem.code).toBe('IDEMPOTENCY_KEY_REUSED');
    });

    it('refuses to show a secret that is no longer current', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const first = await send(method, path, owner.token, key, body);
      await app.post(`/api-keys/${first.body.apiKey.id}/regenerate`, {
        token: owner.token,
        body: { overlapSeconds: 600 },
      });
      const { status, body: problem } = await send(method, path, owner.token, key, body);
      expect(status).toBe(409);
      expect(problem.code).toBe('IDEMPOTENCY_CONFLICT');
      expect(JSON.stringify(problem)).not.toContain(first.body.secretKey);
    });

    it('refuses to show the secret of a key that is gone', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const first = await send(method, path, owner.token, key, body);
      await app.delete(`/api-keys/${first.body.apiKey.id}/permanent`, { token: admin });
      expect([404, 409]).toContain((await send(method, path, owner.token, key, body)).status);
    });

    it('is another request for another principal', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const first = await send(method, path, owner.token, key, body);
      const second = await send(method, path, admin, key, body);
      expect(second.headers.get('idempotency-replayed')).toBeNull();
      expect(second.body.secretKey).not.toBe(first.body.secretKey);
    });

    it('begins anew after ten minutes', async () => {
      const { method, path, body } = await requestOf();
      const key = fresh();
      const first = await send(method, path, owner.token, key, body);
      await app.dataSource.query(`UPDATE idempotency SET created_at = created_at - interval '10 minutes'`);
      const again = await send(method, path, owner.token, key, body);
      expect(again.headers.get('idempotency-replayed')).toBeNull();
      expect(again.body.secretKey).not.toBe(first.body.secretKey);
    });

    it.each([
      ['of 129 characters', 'x'.repeat(129)],
      ['with a space', 'a b'],
      ['that is empty', ''],
      ['with a letter outside ASCII', 'é'],
    ])('refuses a key %s', async (_name, key) => {
      const { method, path, body } = await requestOf();
      const answer = await send(method, path, owner.token, key, body);
      expect(answer.status).toBe(400);
      expect(pathsOf(answer)).toEqual(['Idempotency-Key']);
    });
  });

  describe('an Idempotency-Key', () => {
    it('is free again after a refusal', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 0 });
      const key = fresh();
      expect((await send('POST', '/api-keys', full.token, key, {})).status).toBe(429);
      await app.dataSource.query('UPDATE users SET max_active_keys = 1 WHERE id = $1', [full.id]);
      const { status, headers } = await send('POST', '/api-keys', full.token, key, {});
      expect(status).toBe(201);
      expect(headers.get('idempotency-replayed')).toBeNull();
      expect(await app.dataSource.query('SELECT 1 FROM idempotency WHERE principal_id = $1', [full.id])).toHaveLength(
        1,
      );
    });

    it('is the same for an absent body and an empty one, and of its own for each target', async () => {
      const key = fresh();
      const first = await send('POST', '/api-keys', owner.token, key);
      expect((await send('POST', '/api-keys', owner.token, key, {})).body).toEqual(first.body);
      const [one, other] = [await makeKey(app, owner.token), await makeKey(app, owner.token)];
      const rotated = await send('POST', `/api-keys/${one.id}/regenerate`, owner.token, key);
      const second = await send('POST', `/api-keys/${other.id}/regenerate`, owner.token, key);
      expect([rotated.body.apiKey.id, second.body.apiKey.id]).toEqual([one.id, other.id]);
    });

    it('asks for the permission again', async () => {
      const key = fresh();
      const user = await app.addUser(['creator']);
      await send('POST', '/api-keys', user.token, key, {});
      await app.dataSource.query('DELETE FROM user_role WHERE user_id = $1', [user.id]);
      const { status, body } = await send('POST', '/api-keys', user.token, key, {});
      expect(status).toBe(403);
      expect(body.code).toBe('PERMISSION_DENIED');
    });

    it('shows no other credential of the principal a secret that may do more than it', async () => {
      const both = await app.addUser(['creator', 'gateway']);
      const weak = await makeKey(app, both.token, { roles: ['creator'] });
      const key = fresh();
      const first = await send('POST', '/api-keys', both.token, key, { roles: ['gateway'] });
      const replay = await app.post('/api-keys', {
        apiKey: weak.secret,
        headers: { 'idempotency-key': key },
        body: { roles: ['gateway'] },
      });
      expect(replay.status).toBe(403);
      expect(replay.body.code).toBe('CANNOT_GRANT');
      const plain = fresh();
      const harmless = await send('POST', '/api-keys', both.token, plain, {});
      const shown = await app.post('/api-keys', {
        apiKey: weak.secret,
        headers: { 'idempotency-key': plain },
        body: {},
      });
      expect(shown.body).toEqual(harmless.body);
      expect(first.status).toBe(201);
    });

    it('shows nothing after the key went to another owner', async () => {
      const key = fresh();
      const first = await send('POST', '/api-keys', owner.token, key, {});
      const next = await app.addUser(['creator']);
      await app.post(`/api-keys/${first.body.apiKey.id}/transfer`, { token: admin, body: { ownerId: next.id } });
      expect((await send('POST', '/api-keys', owner.token, key, {})).body.code).toBe('IDEMPOTENCY_CONFLICT');
    });

    it('replays a renewal, and renews only once', async () => {
      const alias = fresh();
      const key = fresh();
      await app.put(`/api-keys/by-alias/${alias}`, { token: owner.token, body: { name: 'x' } });
      const first = await send('PUT', `/api-keys/by-alias/${alias}`, owner.token, key, { name: 'y' });
      const again = await send('PUT', `/api-keys/by-alias/${alias}`, owner.token, key, { name: 'y' });
      expect(first.status).toBe(200);
      expect(again.body).toEqual(first.body);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(await trailOf(app, first.body.apiKey.id)).toHaveLength(2);
    });

    it('makes a twin that waits longer than two seconds come back later', async () => {
      const key = fresh();
      const runner = app.dataSource.createQueryRunner();
      await runner.startTransaction();
      try {
        await runner.query(
          `INSERT INTO idempotency (principal_id, route, target, key_hash, payload_hash, pepper_version, status, ciphertext)
           VALUES ($1, 'POST /api-keys', '', $2, '', '', 0, '')`,
          [owner.id, createHash('sha256').update(key).digest()],
        );
        const { status, body, headers } = await send('POST', '/api-keys', owner.token, key, {});
        expect(status).toBe(503);
        expect(body.code).toBe('UNAVAILABLE');
        expect(headers.get('retry-after')).toBe('1');
      } finally {
        await runner.rollbackTransaction();
        await runner.release();
      }
      expect((await send('POST', '/api-keys', owner.token, key, {})).status).toBe(201);
    });

    it('leaves nothing readable in the database', async () => {
      const key = fresh();
      const { body } = await send('POST', '/api-keys', owner.token, key, {});
      const [row] = await app.dataSource.query<{ text: string }[]>(
        `SELECT string_agg(encode(ciphertext, 'escape') || i::text, '') AS text FROM idempotency i`,
      );
      expect(row!.text).not.toContain(body.secretKey.slice(-49));
      expect(row!.text).not.toContain(key);
    });
  });
});
