import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import { TestApp, type TestUser } from '../../support/app.js';
import { expire, makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

describe('POST /api-keys/self-revoke', () => {
  let app: TestApp;
  let other: TestApp;
  let owner: TestUser;
  let client = 0;

  /** Each from an address of its own, so that tests do not throttle each other. */
  const revoke = (body: unknown, ip = `198.51.100.${(client += 1)}`) =>
    app.post('/api-keys/self-revoke', { body, headers: { 'x-forwarded-for': ip } });

  beforeAll(async () => {
    app = await TestApp.start({ TRUSTED_PROXIES: '127.0.0.1' });
    other = await TestApp.start({ TRUSTED_PROXIES: '127.0.0.1' }, app.database);
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(async () => {
    await other.app.close();
    await app.stop();
  });

  describe('202', () => {
    it('kills the key whose only secret is presented, without any credentials', async () => {
      const key = await makeKey(app, owner.token);
      const { status, body } = await revoke({ key: key.secret });
      expect(status).toBe(202);
      expect(body).toEqual({ accepted: true });
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).body).toMatchObject({
        status: 'revoked',
        revokedReason: 'Revoked by presenting the key itself',
      });
      expect((await trailOf(app, key.id)).at(-1)).toMatchObject({
        action: 'api-keys:revoke',
        actor_kind: 'anonymous',
        actor_id: null,
        details: { kid: key.kid, bySecret: true },
      });
    });

    it('kills a key that another replica has imported a moment ago', async () => {
      const token = await app.adminToken();
      const ids: string[] = [];
      for (let turn = 0; turn < 15; turn += 1) {
        const secret = `sk-imported-${randomUUID()}`;
        const entry = { sha256: createHash('sha256').update(secret).digest('hex'), prefix: 'sk-impo' };
        const { body } = await app.post('/api-keys/import', { token, body: { keys: [entry], raiseOwnerLimits: true } });
        ids.push(body.results[0].id);
        const headers = { 'x-forwarded-for': `198.51.100.${(client += 1)}` };
        await other.post('/api-keys/self-revoke', { body: { key: secret }, headers });
      }
      for (const id of ids) expect((await app.get(`/api-keys/${id}`, { token })).body.status).toBe('revoked');
    });

    it('ends one secret of two and leaves the key to the other', async () => {
      const key = await makeKey(app, owner.token);
      const { body: rotated } = await app.post(`/api-keys/${key.id}/regenerate`, {
        token: owner.token,
        body: { overlapSeconds: 600 },
      });
      await revoke({ key: key.secret });
      expect(await verdictOn(app, key.secret)).toBe('REVOKED');
      expect(await verdictOn(app, rotated.secretKey)).toBe('VALID');
      await revoke({ key: rotated.secretKey });
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).body.status).toBe('revoked');
    });

    it.each([
      ['deactivated', (id: string) => app.post(`/api-keys/${id}/deactivate`, { token: owner.token })],
      ['expired', (id: string) => expire(app, id)],
    ])('kills a key that is %s, so that it cannot come back', async (_, end) => {
      const key = await makeKey(app, owner.token);
      await end(key.id);
      await revoke({ key: key.secret });
      expect((await app.get(`/api-keys/${key.id}`, { token: owner.token })).body.status).toBe('revoked');
    });

    it('answers the same whatever is presented, byte for byte', async () => {
      const key = await makeKey(app, owner.token);
      const flipped = `${key.secret.slice(0, -1)}${key.secret.endsWith('0') ? '1' : '0'}`;
      const bodies: unknown[] = [
        { key: key.secret },
        { key: key.secret },
        { key: flipped },
        { key: 'nonsense' },
        { key: '' },
        { key: 5 },
        { key: null },
        { key: ['x'] },
        { key: 'x'.repeat(10_000) },
        { other: 'field' },
        {},
        undefined,
      ];
      const answers = [];
      for (const body of bodies) answers.push(await revoke(body));
      expect(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`))).toEqual(
        new Set(['202 {"accepted":true}']),
      );
    });

    it('touches nothing when the secret is not genuine', async () => {
      const key = await makeKey(app, owner.token);
      const changed = key.secret.slice(0, 30) + (key.secret[30] === 'a' ? 'b' : 'a') + key.secret.slice(31);
      await revoke({ key: changed });
      await revoke({ key: key.view.keyPrefix });
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect(await trailOf(app, key.id)).toHaveLength(1);
    });

    it('kills once when twenty present the key at once', async () => {
      const key = await makeKey(app, owner.token);
      const answers = await Promise.all(Array.from({ length: 20 }, () => revoke({ key: key.secret })));
      expect(answers.every(({ status }) => status === 202)).toBe(true);
      expect(await trailOf(app, key.id)).toHaveLength(2);
    });
  });

  describe('429', () => {
    it('throttles one address, says for how long, and leaves others alone', async () => {
      const ip = '203.0.113.9';
      const answers = [];
      for (let count = 0; count < 31; count += 1) answers.push(await revoke({ key: 'x' }, ip));
      const first = answers[0]!;
      expect(first.headers.get('ratelimit-policy')).toBe('"minute";q=30;w=60');
      expect(first.headers.get('ratelimit')).toMatch(/^"minute";r=29;t=60$/);
      expect(answers.slice(0, 30).every(({ status }) => status === 202)).toBe(true);
      const { status, body, headers } = answers[30]!;
      expect(status).toBe(429);
      expect(body.code).toBe('TOO_MANY_REQUESTS');
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('ratelimit')).toMatch(/^"minute";r=0;t=\d+$/);
      expect((await revoke({ key: 'x' }, '203.0.113.10')).status).toBe(202);
    });
  });
});
