import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp, type TestUser } from '../../support/app.js';

interface Check {
  check: string;
  outcome: string;
  detail: string;
  detailParts?: object[];
}

describe('POST /api-keys/:id/explain', () => {
  let app: TestApp;
  let admin: string;
  let owner: TestUser;

  beforeAll(async () => {
    app = await TestApp.start();
    admin = await app.adminToken();
    owner = await app.addUser(['creator'], { maxActiveKeys: 100 });
  });
  afterAll(() => app.stop());

  const addKey = async (fields: object = {}): Promise<{ id: string; secretKey: string }> => {
    const { body } = await app.post('/api-keys', { token: owner.token, body: fields });
    return { id: body.apiKey.id, secretKey: body.secretKey };
  };
  const failed = (checks: Check[]) => checks.filter((check) => check.outcome === 'failed').map((check) => check.check);

  describe('200', () => {
    it('lists every check in order, with what it looked at, and skips those that need the secret', async () => {
      const { id } = await addKey({
        allowedIps: ['10.0.0.0/8'],
        scopes: ['chat:write'],
        expiresAt: '2999-01-01T00:00:00Z',
      });
      const { status, body } = await app.post(`/api-keys/${id}/explain`, {
        token: owner.token,
        body: { ip: '10.1.2.3', scopes: ['chat:write'] },
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({ keyId: id, valid: true, code: 'VALID' });
      expect(body.checks.map((check: Check) => [check.check, check.outcome])).toEqual([
        ['secret', 'skipped'],
        ...[
          'revoked',
          'active',
          'expiry',
          'owner',
          'project',
          'environment',
          'address',
          'model',
          'chatbot',
          'scopes',
        ].map((check) => [check, 'passed']),
      ]);
      const detail = Object.fromEntries(body.checks.map((check: Check) => [check.check, check.detail]));
      expect(detail).toMatchObject({
        expiry: 'The key ends at 2999-01-01T00:00:00.000Z.',
        project: 'The key is in no project.',
        address: '10.1.2.3 lies in the key’s list of addresses.',
        model: 'The key may be used with any model.',
        scopes: 'The key has chat:write.',
      });
    });

    it('gives the sentences that name amounts or instants in parts as well', async () => {
      const { id } = await addKey({ budgetLimitCents: 500, budgetType: 'monthly', expiresAt: '2999-01-01T00:00:00Z' });
      const { body } = await app.post(`/api-keys/${id}/explain`, { token: owner.token, body: { reserveCents: 0.5 } });
      const inParts = body.checks.filter((check: Check) => check.detailParts !== undefined);
      expect(inParts.map(({ check, detail, detailParts }: Check) => [check, detail, detailParts])).toEqual([
        [
          'expiry',
          'The key ends at 2999-01-01T00:00:00.000Z.',
          [{ text: 'The key ends at ' }, { at: '2999-01-01T00:00:00.000Z' }, { text: '.' }],
        ],
        [
          'budget',
          '500 cents of 500 cents is left (monthly); the call reserves 0.5 cents.',
          [
            ...[{ cents: 500 }, { text: ' of ' }, { cents: 500 }],
            ...[{ text: ' is left (monthly); the call reserves ' }, { cents: 0.5 }, { text: '.' }],
          ],
        ],
      ]);
      const verified = await app.post('/verify', {
        token: admin,
        body: { key: (await addKey({ budgetLimitCents: 500 })).secretKey, explain: true, dryRun: true },
      });
      expect(verified.body.checks.find(({ check }: Check) => check === 'budget').detailParts).toContainEqual({
        cents: 500,
      });
    });

    it('names every check that fails, and gives the code of the first', async () => {
      const { id } = await addKey({
        allowedIps: ['10.0.0.0/8'],
        allowedModels: ['gpt-*'],
        allowedChatbots: ['bot'],
        scopes: [],
      });
      await app.dataSource.query(`UPDATE api_key SET expires_at = now() - interval '1 s' WHERE id = $1`, [id]);
      const { body } = await app.post(`/api-keys/${id}/explain`, {
        token: admin,
        body: { model: 'claude', scopes: ['x'] },
      });
      expect(body).toMatchObject({ valid: false, code: 'EXPIRED', detail: 'The key has expired.' });
      expect(failed(body.checks)).toEqual(['expiry', 'address', 'model', 'chatbot', 'scopes']);
    });

    it.each([
      [{}, {}],
      [{ allowedModels: ['a*'] }, { model: 'abc' }],
      [{ allowedModels: ['a*'] }, {}],
      [{ scopes: ['r'] }, { scopes: ['r', 'w'] }],
      [{ allowedChatbots: ['b'] }, { chatbot: 'c' }],
      [{ allowedIps: ['2001:db8::/32'] }, { ip: '2001:db8::1' }],
    ])('comes to what a verify of the secret comes to: a key with %j, asked for %j', async (fields, question) => {
      const { id, secretKey } = await addKey(fields);
      const explained = await app.post(`/api-keys/${id}/explain`, { token: owner.token, body: question });
      const verified = await app.post('/verify', { token: admin, body: { key: secretKey, ...question } });
      expect({ valid: explained.body.valid, code: explained.body.code }).toEqual({
        valid: verified.body.valid,
        code: verified.body.code,
      });
    });

    it('takes an absent body for a call that names nothing', async () => {
      const { id } = await addKey({ allowedModels: ['a'] });
      const { status, body } = await app.post(`/api-keys/${id}/explain`, { token: owner.token });
      expect(status).toBe(200);
      expect(body.code).toBe('MODEL_NOT_ALLOWED');
    });

    it('consumes nothing and shows no secret', async () => {
      const { id, secretKey } = await addKey();
      const before = (await app.get(`/api-keys/${id}`, { token: owner.token })).body;
      const { body } = await app.post(`/api-keys/${id}/explain`, {
        token: owner.token,
        body: { cost: 1000, reserveCents: 5 },
      });
      expect((await app.get(`/api-keys/${id}`, { token: owner.token })).body).toEqual(before);
      expect(JSON.stringify(body)).not.toContain(secretKey.slice(-49));
    });

    it('tells a manager of a service account about its key', async () => {
      const robot = await app.addUser([], { kind: 'service', managerIds: [owner.id] });
      const made = await app.post('/api-keys', { token: admin, body: { ownerId: robot.id } });
      expect((await app.post(`/api-keys/${made.body.apiKey.id}/explain`, { token: owner.token })).status).toBe(200);
    });
  });

  describe('400', () => {
    it.each([
      [{ ip: 7 }, 'ip'],
      [{ model: 'gpt-4o\n' }, 'model'],
      [{ scopes: 'chat' }, 'scopes'],
      [{ cost: 0 }, 'cost'],
      [{ cost: 1001 }, 'cost'],
      [{ reserveCents: -1 }, 'reserveCents'],
      [{ reserveCents: '1' }, 'reserveCents'],
      [{ reserveCents: -1e-7 }, 'reserveCents'],
      [{ key: 'lk_live_x' }, 'key'],
    ])('names the wrong field of %j', async (body, path) => {
      const { id } = await addKey();
      const answer = await app.post(`/api-keys/${id}/explain`, { token: owner.token, body });
      expect(answer.status).toBe(400);
      expect([...new Set(answer.body.errors.map((error: { path: string }) => error.path))]).toEqual([path]);
    });

    it('refuses an id that is no UUID', async () => {
      expect((await app.post('/api-keys/mine/explain', { token: owner.token })).body.code).toBe('INVALID_KEY_ID');
    });
  });

  describe('401', () => {
    it('asks for credentials', async () => {
      expect((await app.post('/api-keys/x/explain')).status).toBe(401);
    });
  });

  describe('404', () => {
    it('gives for another’s key what it gives for none', async () => {
      const stranger = await app.addUser();
      const { id } = await addKey();
      const others = await app.post(`/api-keys/${id}/explain`, { token: stranger.token });
      const none = await app.post('/api-keys/019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55/explain', { token: stranger.token });
      expect(others.status).toBe(404);
      expect({ ...others.body, requestId: '' }).toEqual({ ...none.body, requestId: '' });
    });
  });
});
